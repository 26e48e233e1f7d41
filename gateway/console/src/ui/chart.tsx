/** Lines over time, by uPlot. Colours are the page's own. */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { isDark, theme } from "../theme";

export interface Line {
  name: string;
  /** A custom property of the style sheet. */
  color: string;
  values: (number | null)[];
}

export function Chart({ times, lines, format, label }: { times: number[]; lines: Line[]; format: (value: number) => string; label: string }) {
  const element = useRef<HTMLDivElement>(null);
  const chosen = theme.value;
  useEffect(() => {
    const host = element.current!;
    const style = getComputedStyle(document.documentElement);
    // Custom properties come as they are written, so the colour is read from where it is used.
    const probe = document.createElement("span");
    host.append(probe);
    const color = (name: string) => {
      probe.style.color = `var(${name})`;
      return getComputedStyle(probe).color;
    };
    const [grid, text] = [color("--border"), color("--muted")];
    const axis = { stroke: text, grid: { stroke: grid, width: 1 }, ticks: { show: false }, font: `11px ${style.fontFamily}` };
    const plot = new uPlot(
      {
        width: host.clientWidth,
        height: 150,
        cursor: { y: false },
        legend: { live: true },
        scales: { y: { range: (_, __, max) => [0, Math.max(max || 0, 1) * 1.1] } },
        axes: [{ ...axis }, { ...axis, size: 66, values: (_, ticks) => ticks.map(format) }],
        series: [
          { value: (_, at) => (at ? new Date(at * 1000).toTimeString().slice(0, 8) : "–") },
          ...lines.map((line) => ({
            label: line.name,
            stroke: color(line.color),
            fill: lines.length === 1 ? color(line.color).replace("rgb(", "rgba(").replace(")", ", 0.10)") : undefined,
            width: 1.5,
            points: { show: false },
            value: (_: uPlot, value: number | null) => (value === null ? "–" : format(value)),
          })),
        ],
      },
      [times, ...lines.map((line) => line.values)],
      host,
    );
    const watch = new ResizeObserver(() => plot.setSize({ width: host.clientWidth, height: 150 }));
    watch.observe(host);
    return () => {
      watch.disconnect();
      plot.destroy();
      probe.remove();
    };
  }, [times, lines, chosen, isDark()]);
  return <div class="chart" ref={element} role="img" aria-label={label} />;
}
