// Asks for the figures every two seconds and shows them.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { Charts } from "./charts";
import { Moment } from "./snapshot";
import { Tables } from "./tables";

const INTERVAL = 2_000;

function place(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}

const status = place("status");
const charts = new Charts(place("charts"));
const tables = new Tables(place("tables"));

async function refresh(): Promise<void> {
  try {
    const answer = await fetch("data", { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    const told: unknown = await answer.json();
    if (!answer.ok) throw new Error((told as { detail?: string }).detail ?? `status ${answer.status}`);
    const now = new Moment(told as ConstructorParameters<typeof Moment>[0]);
    charts.show(now);
    tables.show(now);
    status.textContent = `live, ${new Date(now.time * 1e3).toLocaleTimeString()}`;
    status.className = "";
  } catch (error) {
    status.textContent = `no figures: ${error instanceof Error ? error.message : String(error)}`;
    status.className = "failed";
  }
  setTimeout(() => void refresh(), INTERVAL);
}

void refresh();
