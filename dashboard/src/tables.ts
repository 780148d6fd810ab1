// The components: breakers, caches, batchers, allocator, pools, dependencies.

import type { Moment } from "./snapshot";

type Cell = string | { text: string; mood: "good" | "fair" | "bad" };

interface Table {
  title: string;
  columns: string[];
  rows: (now: Moment) => Cell[][];
}

const STATES: Cell[] = [
  { text: "closed", mood: "good" },
  { text: "half-open", mood: "fair" },
  { text: "open", mood: "bad" },
  { text: "forced open", mood: "bad" },
  { text: "disabled", mood: "fair" },
  { text: "metrics only", mood: "fair" },
];

const whole = (value: number): string => Math.round(value).toLocaleString("en");
const decimal = (value: number): string => value.toLocaleString("en", { maximumFractionDigits: 2 });
const share = (part: number, all: number): string => (all > 0 ? `${((100 * part) / all).toFixed(1)} %` : "–");

const TABLES: Table[] = [
  {
    title: "Circuit breakers",
    columns: ["name", "state", "calls", "failed", "rejected", "opened"],
    rows: (now) =>
      now.names("circuit_breaker_state").map((name) => {
        const calls = (outcome: string) => now.sum("circuit_breaker_calls", { name, outcome });
        return [
          name,
          STATES[now.sum("circuit_breaker_state", { name })] ?? "?",
          whole(now.sum("circuit_breaker_calls", { name })),
          whole(calls("failures")),
          whole(calls("rejected")),
          whole(now.sum("circuit_breaker_transitions", { name, to: "open" })),
        ];
      }),
  },
  {
    title: "Caches",
    columns: ["name", "entries", "hits", "misses", "hit rate"],
    rows: (now) =>
      now.names("cache_entries").map((name) => {
        const hits = now.sum("cache_lookups", { name, result: "hits" });
        const misses = now.sum("cache_lookups", { name, result: "misses" });
        return [
          name,
          whole(now.sum("cache_entries", { name })),
          whole(hits),
          whole(misses),
          share(hits, hits + misses),
        ];
      }),
  },
  {
    title: "External APIs",
    columns: ["name", "answered", "stale", "failed", "kept answers"],
    rows: (now) =>
      now
        .names("external_requests")
        .map((name) => [
          name,
          whole(now.sum("external_requests", { name, outcome: "answered" })),
          whole(now.sum("external_requests", { name, outcome: "stale" })),
          whole(now.sum("external_requests", { name, outcome: "failed" })),
          whole(now.sum("external_kept_answers", { name })),
        ]),
  },
  {
    title: "Batchers",
    columns: ["name", "requests", "batches", "waiting", "fill"],
    rows: (now) =>
      now
        .names("batcher_requests")
        .map((name) => [
          name,
          whole(now.sum("batcher_requests", { name })),
          whole(now.sum("batcher_batches", { name })),
          whole(now.sum("batcher_pending", { name })),
          share(now.sum("batcher_efficiency_ratio", { name }), 1),
        ]),
  },
  {
    title: "Allocator",
    columns: ["what", "value"],
    rows: (now) => [
      ...now.names("allocation").map((name) => [name, decimal(now.sum("allocation", { name }))]),
      ...now
        .names("forecast", "measure")
        .map((measure) => [`${measure}, forecast`, decimal(now.sum("forecast", { measure }))]),
    ],
  },
  {
    title: "Pools and connections",
    columns: ["name", "connections"],
    rows: (now) => [
      ...now.names("pool_size").map((name) => [`${name} pool, at most`, whole(now.sum("pool_size", { name }))]),
      ...now
        .names("connections_active")
        .map((name) => [`${name}, active`, whole(now.sum("connections_active", { name }))]),
    ],
  },
  {
    title: "Dependencies",
    columns: ["name", "last check"],
    rows: (now) =>
      now
        .names("dependency_up")
        .map((name) => [
          name,
          now.sum("dependency_up", { name }) > 0 ? { text: "up", mood: "good" } : { text: "down", mood: "bad" },
        ]),
  },
];

/** Put text into a new element; names come from anywhere, so nothing is ever read as markup. */
function put(parent: HTMLElement, tag: string, cell: Cell): void {
  const element = parent.appendChild(document.createElement(tag));
  element.textContent = typeof cell === "string" ? cell : cell.text;
  if (typeof cell !== "string") element.className = cell.mood;
}

export class Tables {
  private readonly shown: { table: Table; frame: HTMLElement; body: HTMLElement }[];

  constructor(place: HTMLElement) {
    this.shown = TABLES.map((table) => {
      const frame = place.appendChild(document.createElement("div"));
      frame.hidden = true; // until there is a row
      put(frame, "h2", table.title);
      const element = frame.appendChild(document.createElement("table"));
      const names = element.appendChild(document.createElement("thead")).appendChild(document.createElement("tr"));
      for (const column of table.columns) put(names, "th", column);
      return { table, frame, body: element.appendChild(document.createElement("tbody")) };
    });
  }

  show(now: Moment): void {
    for (const { table, frame, body } of this.shown) {
      const rows = table.rows(now);
      frame.hidden = rows.length === 0;
      body.replaceChildren(
        ...rows.map((cells) => {
          const row = document.createElement("tr");
          for (const cell of cells) put(row, "td", cell);
          return row;
        }),
      );
    }
  }
}
