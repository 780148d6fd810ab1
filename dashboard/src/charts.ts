// Lines over the last ten minutes.

import uPlot from "uplot";
import { type Moment, quantile, rate } from "./snapshot";

const KEPT = 300; // moments
const COLORS = ["#4c8dff", "#e5534b", "#57ab5a"];
const SIZE = { least: 300, height: 180 }; // pixels

type Line = [label: string, read: (before: Moment | null, now: Moment) => number | null];

interface Chart {
  title: string;
  lines: Line[];
}

const milliseconds = (seconds: number | null): number | null => (seconds === null ? null : seconds * 1e3);
const LATENCY = "http_request_duration_seconds";

const CHARTS: Chart[] = [
  {
    title: "Requests a second",
    lines: [
      ["all", (before, now) => rate(before, now, (moment) => moment.sum("http_requests"))],
      ["5xx", (before, now) => rate(before, now, serverErrors)],
    ],
  },
  {
    title: "Latency, ms",
    lines: [
      ["p50", (before, now) => milliseconds(quantile(before, now, LATENCY, 0.5))],
      ["p99", (before, now) => milliseconds(quantile(before, now, LATENCY, 0.99))],
    ],
  },
  {
    title: "Guarded calls a second",
    lines: [
      ["all", (before, now) => rate(before, now, (moment) => moment.sum("circuit_breaker_calls"))],
      ["failed", (before, now) => rate(before, now, calls("failures"))],
      ["rejected", (before, now) => rate(before, now, calls("rejected"))],
    ],
  },
  {
    title: "Event-loop lag, ms",
    lines: [["lag", (_, now) => milliseconds(now.sum("event_loop_lag_seconds"))]],
  },
];

function serverErrors(moment: Moment): number {
  return moment
    .series("http_requests")
    .filter((series) => series.labels["status"]?.startsWith("5"))
    .reduce((total, series) => total + (series.values[0] ?? 0), 0);
}

function calls(outcome: string): (moment: Moment) => number {
  return (moment) => moment.sum("circuit_breaker_calls", { outcome });
}

const time = (seconds: number): string => new Date(seconds * 1e3).toLocaleTimeString("en", { hourCycle: "h23" });
const figure = (value: number | null): string =>
  value?.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 }) ?? "–";

function options(chart: Chart, width: number): uPlot.Options {
  const lines = { stroke: "#8884", width: 1 };
  // asked at each drawing: the colours follow the system's when they change
  const axis = { stroke: () => getComputedStyle(document.body).color, grid: lines, ticks: lines };
  return {
    width,
    height: SIZE.height,
    series: [
      { value: (_, seconds) => (seconds === null ? "–" : time(seconds)) },
      ...chart.lines.map(([label], i) => ({
        label,
        stroke: COLORS[i] as string,
        width: 1.5,
        points: { show: false },
        value: (_: uPlot, value: number | null) => figure(value),
      })),
    ],
    axes: [
      { ...axis, size: 32, space: 80, values: (_, splits) => splits.map(time) },
      { ...axis, size: 56 },
    ],
    scales: { y: { range: (_, __, high) => [0, high > 0 ? high * 1.1 : 1] } },
  };
}

export class Charts {
  private readonly drawn: { chart: Chart; plot: uPlot; data: (number | null)[][] }[];
  private before: Moment | null = null;

  constructor(place: HTMLElement) {
    this.drawn = CHARTS.map((chart) => {
      const frame = place.appendChild(document.createElement("div"));
      const heading = frame.appendChild(document.createElement("h2"));
      heading.textContent = chart.title;
      const data: (number | null)[][] = [[], ...chart.lines.map(() => [])];
      const width = () => Math.max(frame.clientWidth, SIZE.least);
      const plot = new uPlot(options(chart, width()), data as uPlot.AlignedData, frame);
      new ResizeObserver(() => plot.setSize({ width: width(), height: SIZE.height })).observe(frame);
      return { chart, plot, data };
    });
  }

  show(now: Moment): void {
    for (const { chart, plot, data } of this.drawn) {
      data[0]?.push(now.time);
      chart.lines.forEach(([, read], i) => data[i + 1]?.push(read(this.before, now)));
      for (const column of data) if (column.length > KEPT) column.shift();
      plot.setData(data as uPlot.AlignedData);
      if ((plot.cursor.left ?? -1) < 0) plot.setLegend({ idx: (data[0]?.length ?? 0) - 1 }); // nobody points: now
    }
    this.before = now;
  }
}
