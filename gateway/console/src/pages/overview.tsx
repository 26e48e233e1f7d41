import { useEffect, useState } from "preact/hooks";
import { admin } from "../api/admin";
import { isDenied, trouble } from "../api/errors";
import { bytes, count, plural, time } from "../format";
import { href } from "../router";
import { identity } from "../session";
import { Chart, type Line } from "../ui/chart";
import { Badge, Button, Card, ErrorNote, Head, Load, Select, useLoad } from "../ui/core";

interface Point {
  t: number;
  requests: number;
  errors_4xx: number;
  errors_5xx: number;
  bytes_in: number;
  bytes_out: number;
  p50_ms: number | null;
  p99_ms: number | null;
  stored_bytes: number | null;
  disk_free: number | null;
}

const REFRESH_MS = 10_000;

export function Overview() {
  const [minutes, setMinutes] = useState("60");
  const status = useLoad<any>(() => admin("status"), []);
  const history = useLoad<{ step_s: number; points: Point[] }>(() => admin("history", { minutes }), [minutes]);
  useEffect(() => {
    const timer = setInterval(() => {
      if (document.hidden) return;
      status.reload();
      history.reload();
    }, REFRESH_MS);
    return () => clearInterval(timer);
  }, [status.reload, history.reload]);
  if (status.error && isDenied(trouble(status.error))) return <Welcome error={status.error} />;
  return (
    <div class="page">
      <Head title="Overview">
        <Button icon="refresh" label="Refresh" onClick={() => { status.reload(); history.reload(); }} />
      </Head>
      <Load of={status}>{(data) => <Health status={data} />}</Load>
      <div class="head">
        <div class="title">
          <h2>Traffic</h2>
        </div>
        <div class="row">
          <Select label="Period" value={minutes} onChange={setMinutes} options={[["15", "15 minutes"], ["60", "1 hour"], ["360", "6 hours"], ["1440", "24 hours"]]} />
        </div>
      </div>
      <Load of={history}>{(data) => <Charts {...data} />}</Load>
    </div>
  );
}

/** For who may not see the gateway's state: where they can go. */
function Welcome({ error }: { error: unknown }) {
  return (
    <div class="page">
      <Head title="Welcome" />
      <Card title="What you can do here">
        <p>
          You are signed in as <code>{identity.value!.arn}</code>. The state of the gateway is not shown to you. <a href={href(["buckets"])}>Buckets</a>, <a href={href(["keys"])}>keys</a> and{" "}
          <a href={href(["me"])}>what you may do</a> are there as far as your policies go.
        </p>
      </Card>
      <ErrorNote error={error} />
    </div>
  );
}

/** Background work as the status tells it, each with when it last ended. */
function jobs(status: any): { name: string; state: string; kind: string; text: string }[] {
  const at = (unix: number | null | undefined) => (unix ? `last ended ${time(unix)}` : "has not run yet");
  const all = [];
  const { scrub, lifecycle, reclaim, full_sweep: sweep } = status;
  if (scrub) {
    const faults = scrub.last?.faults ?? 0;
    all.push({ name: "Scrub", state: scrub.current ? "running" : faults ? plural(faults, "fault") : "healthy", kind: faults ? "danger" : "good", text: `${at(scrub.last?.ended_unix_ms)}; ${plural(scrub.last?.blobs ?? 0, "blob")}, ${bytes(scrub.last?.bytes ?? 0)} compared with their checksums` });
  }
  if (lifecycle) all.push({ name: "Lifecycle", state: lifecycle.is_whole === false ? "behind" : "healthy", kind: lifecycle.is_whole === false ? "warn" : "good", text: `${at(lifecycle.ended_unix_ms)}; ${plural(lifecycle.changes ?? 0, "change")} of ${plural(lifecycle.seen ?? 0, "version")} seen` });
  if (reclaim) all.push({ name: "Space reclaim", state: reclaim.quarantined ? `${reclaim.quarantined} in quarantine` : "healthy", kind: reclaim.quarantined ? "warn" : "good", text: `${plural(reclaim.displaced ?? 0, "displaced blob")} waiting, ${plural(reclaim.orphans ?? 0, "orphan")} found` });
  if (sweep) all.push({ name: "Full sweep", state: "healthy", kind: "good", text: at(sweep.ended_unix_ms) });
  return all;
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function Health({ status }: { status: any }) {
  const { usage = {}, disk, warnings = [] } = status;
  const share = disk?.total_bytes ? 1 - disk.free_bytes / disk.total_bytes : undefined;
  const tiles: [string, string][] = [
    [count(usage.buckets), "buckets"],
    [count(usage.objects), "objects"],
    [bytes(usage.bytes ?? 0), "of content"],
    [bytes(usage.stored_bytes ?? 0), "stored, sealed"],
    [disk ? bytes(disk.free_bytes) : "–", share === undefined ? "free" : `free on disk (${Math.round(share * 100)} % used)`],
  ];
  return (
    <>
      <div class="tiles">
        {tiles.map(([value, label]) => (
          <div class="tile" key={label}>
            <div class="value">{value}</div>
            <div class="label">{label}</div>
          </div>
        ))}
      </div>
      <div class="grid">
        <Card title="Needs attention" actions={status.ready ? <Badge kind="good">Ready</Badge> : <Badge kind="danger">Not ready</Badge>}>
          {warnings.length === 0 ? <p class="muted">Nothing. All that the gateway watches is as it should be.</p> : null}
          <ul class="plain">
            {warnings.map((warning: any, index: number) => (
              <li class="note warn" key={index}>
                <strong>{sentence(warning.what)}</strong>
                <span>{sentence(warning.advice)}</span>
              </li>
            ))}
          </ul>
        </Card>
        <Card title="Background work">
          <ul class="plain">
            {jobs(status).map((job) => (
              <li class="row" key={job.name}>
                <span class="grow">
                  <strong>{job.name}</strong>
                  <br />
                  <small>{job.text}</small>
                </span>
                <Badge kind={job.kind}>{job.state}</Badge>
              </li>
            ))}
          </ul>
          <small>
            Version {status.version} · region {status.region} · up for {Math.floor((status.uptime_s ?? 0) / 3600)} h {Math.floor(((status.uptime_s ?? 0) % 3600) / 60)} min
          </small>
        </Card>
      </div>
    </>
  );
}

function Charts({ step_s: step, points }: { step_s: number; points: Point[] }) {
  if (points.length < 2) return <p class="muted">Samples come every {step} seconds. Charts begin with the second one.</p>;
  const times = points.map(({ t }) => t);
  const line = (name: string, color: string, values: (point: Point) => number | null): Line => ({ name, color, values: points.map((point) => values(point)) });
  const perSecond = (pick: (point: Point) => number) => (point: Point) => pick(point) / step;
  const number = (value: number) => (value >= 100 ? Math.round(value).toString() : value.toFixed(value < 10 ? 1 : 0));
  const all: [string, Line[], (value: number) => string][] = [
    ["Requests per second", [line("requests", "--accent", perSecond((point) => point.requests))], number],
    ["Errors per second", [line("4xx", "--warn", perSecond((point) => point.errors_4xx)), line("5xx", "--danger", perSecond((point) => point.errors_5xx))], number],
    ["Latency", [line("median", "--accent", (point) => point.p50_ms), line("99th percentile", "--info", (point) => point.p99_ms)], (value) => `${number(value)} ms`],
    ["Bytes per second", [line("in", "--accent", perSecond((point) => point.bytes_in)), line("out", "--info", perSecond((point) => point.bytes_out))], (value) => bytes(Math.round(value))],
    ["Stored", [line("stored", "--accent", (point) => point.stored_bytes)], (value) => bytes(Math.round(value))],
    ["Free on disk", [line("free", "--info", (point) => point.disk_free)], (value) => bytes(Math.round(value))],
  ];
  return (
    <div class="grid">
      {all.map(([title, lines, format]) => (
        <Card key={title} title={title}>
          <Chart times={times} lines={lines} format={format} label={`${title} over the last ${Math.round((points.length * step) / 60)} minutes`} />
        </Card>
      ))}
    </div>
  );
}
