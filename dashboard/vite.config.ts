import { defineConfig } from "vite";

// The page is served by python/resilience/dashboard, at the root or below any path of another application.
export default defineConfig({
  base: "./",
  build: {
    outDir: "../python/resilience/dashboard/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the Content-Security-Policy allows no data: URLs
    modulePreload: { polyfill: false },
  },
});
