// What the server tells at one moment, and what follows from two of them.

export interface Series {
  labels: Record<string, string>;
  values: number[]; // of a histogram: the buckets' counts, then the sum
}

export interface Family {
  name: string;
  kind: "counter" | "gauge" | "histogram";
  bounds: number[];
  series: Series[];
}

interface Snapshot {
  time: number;
  families: Family[];
}

export class Moment {
  readonly time: number;
  private readonly families: Map<string, Family>;

  constructor(snapshot: Snapshot) {
    this.time = snapshot.time;
    this.families = new Map(snapshot.families.map((family) => [family.name, family]));
  }

  series(family: string): Series[] {
    return this.families.get(`resilience_${family}`)?.series ?? [];
  }

  bounds(family: string): number[] {
    return this.families.get(`resilience_${family}`)?.bounds ?? [];
  }

  /** Sum of the series that have these labels. */
  sum(family: string, labels: Record<string, string> = {}): number {
    return this.series(family)
      .filter((series) => Object.entries(labels).every(([key, value]) => series.labels[key] === value))
      .reduce((total, series) => total + (series.values[0] ?? 0), 0);
  }

  /** The different values of a label, sorted. */
  names(family: string, label = "name"): string[] {
    return [...new Set(this.series(family).map((series) => series.labels[label] ?? ""))].sort();
  }

  /** Counts of a histogram's buckets over all series. */
  buckets(family: string): number[] {
    const totals = new Array<number>(this.bounds(family).length + 1).fill(0);
    for (const series of this.series(family)) {
      totals.forEach((total, i) => (totals[i] = total + (series.values[i] ?? 0)));
    }
    return totals;
  }
}

/** Increase a second of a sum between two moments; null when there was none before, or a restart. */
export function rate(before: Moment | null, now: Moment, total: (moment: Moment) => number): number | null {
  if (before === null || now.time <= before.time) return null;
  const increase = total(now) - total(before);
  return increase < 0 ? null : increase / (now.time - before.time);
}

/** Quantile of what a histogram saw between two moments, interpolated within its bucket, in seconds. */
export function quantile(before: Moment | null, now: Moment, family: string, q: number): number | null {
  if (before === null) return null;
  const earlier = before.buckets(family);
  const counts = now.buckets(family).map((count, i) => count - (earlier[i] ?? 0));
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total <= 0 || counts.some((count) => count < 0)) return null;
  const bounds = now.bounds(family);
  let below = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && below + count >= q * total) {
      const low = i === 0 ? 0 : (bounds[i - 1] ?? 0);
      const high = bounds[i] ?? low; // what is beyond the last bound is shown at it
      return low + ((high - low) * (q * total - below)) / count;
    }
    below += count;
  }
  return null;
}
