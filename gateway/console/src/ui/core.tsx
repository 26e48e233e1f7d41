/** Small parts that every page is made of. */
import { signal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useCallback, useEffect, useId, useRef, useState } from "preact/hooks";
import { explain, isDenied, trouble, type Trouble } from "../api/errors";

const PATHS: Record<string, string> = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  bucket: "M4 6c0 1.700 3.600 3 8 3s8-1.300 8-3-3.600-3-8-3-8 1.300-8 3zm0 0l2 13c.2 1.200 2.800 2 6 2s5.800-.8 6-2l2-13",
  folder: "M3 6a1 1 0 011-1h5l2 2h9a1 1 0 011 1v10a1 1 0 01-1 1H4a1 1 0 01-1-1z",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  key: "M15 9a4 4 0 11-8 0 4 4 0 018 0zM14 12l7 7m-3-3l-2 2m4 0l-1 1",
  users: "M9 11a3.500 3.500 0 100-7 3.500 3.500 0 000 7zm-6 9c0-3.300 2.700-6 6-6s6 2.700 6 6M16 4.500a3.500 3.500 0 010 6.500m2 3.500c1.800.9 3 2.900 3 5.500",
  group: "M12 8a3 3 0 100-6 3 3 0 000 6zM5 20a3 3 0 100-6 3 3 0 000 6zm14 0a3 3 0 100-6 3 3 0 000 6zM12 8v4m0 0l-5 3m5-3l5 3",
  role: "M12 3l7 3v6c0 4.500-3 7.700-7 9-4-1.300-7-4.500-7-9V6z",
  policy: "M7 3h10v18H7zM10 8h4m-4 4h4m-4 4h2",
  account: "M4 20V8l8-5 8 5v12M9 20v-6h6v6",
  audit: "M4 5h16M4 10h16M4 15h10M4 20h7m6-1l2 2 3-4",
  upload: "M12 16V4m0 0L7 9m5-5l5 5M4 20h16",
  download: "M12 4v12m0 0l-5-5m5 5l5-5M4 20h16",
  plus: "M12 5v14M5 12h14",
  trash: "M4 7h16M9 7V4h6v3m-8 0l1 13h8l1-13",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  refresh: "M20 11a8 8 0 10-2.300 6.700M20 4v7h-7",
  lock: "M6 11h12v9H6zM9 11V7a3 3 0 016 0v4",
  sun: "M12 17a5 5 0 100-10 5 5 0 000 10zM12 2v2m0 16v2M4.900 4.900l1.400 1.400m11.400 11.400l1.400 1.400M2 12h2m16 0h2M4.900 19.100l1.400-1.400M17.700 6.300l1.400-1.400",
  moon: "M20 14a8 8 0 01-10-10 8 8 0 1010 10z",
  out: "M14 4h5v16h-5M10 8l-4 4 4 4m-4-4h10",
  check: "M5 12l5 5 9-10",
  pause: "M9 5v14M15 5v14",
  play: "M7 4l12 8-12 8z",
  share: "M12 15V3m0 0L8 7m4-4l4 4M5 12v8h14v-8",
  shield: "M12 3l7 3v6c0 4.500-3 7.700-7 9-4-1.300-7-4.500-7-9V6zM9 12l2 2 4-4",
};

export function Icon({ name, size = 18 }: { name: string; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width={name === "dots" ? 3 : 1.8} stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name] ?? PATHS["file"]} />
    </svg>
  );
}

interface ButtonProps {
  children?: ComponentChildren;
  icon?: string;
  label?: string;
  kind?: string;
  type?: "button" | "submit";
  disabled?: boolean;
  title?: string;
  onClick?: () => unknown;
}

/** A button. Who waits for its work can't press it twice; what fails is shown as a toast. */
export function Button({ children, icon, label, kind = "", type = "button", disabled, title, onClick }: ButtonProps) {
  const [busy, setBusy] = useState(false);
  const press = async () => {
    if (!onClick) return;
    const work = onClick();
    if (!(work instanceof Promise)) return;
    setBusy(true);
    try {
      await work;
    } catch (error) {
      toastError(error);
    } finally {
      setBusy(false);
    }
  };
  return (
    <button type={type} class={`btn ${kind} ${icon && !children ? "icon" : ""}`} disabled={disabled || busy} aria-busy={busy} aria-label={label} title={title ?? label} onClick={press}>
      {busy ? <span class="spin" /> : icon ? <Icon name={icon} size={16} /> : null}
      {children}
    </button>
  );
}

export function Badge({ kind = "", children }: { kind?: string; children: ComponentChildren }) {
  return <span class={`badge ${kind}`}>{children}</span>;
}

export function Field({ label, hint, error, children }: { label: string; hint?: ComponentChildren; error?: string; children: ComponentChildren }) {
  return (
    <label class="field">
      <span class="label">{label}</span>
      {children}
      {hint ? <span class="hint">{hint}</span> : null}
      {error ? <span class="wrong">{error}</span> : null}
    </label>
  );
}

interface TextProps {
  label: string;
  value: string;
  onInput: (value: string) => void;
  hint?: ComponentChildren;
  /** What is wrong with the value, and what to do. */
  error?: string;
  type?: string;
  inputMode?: string;
  placeholder?: string;
  required?: boolean;
  autoComplete?: string;
  pattern?: string;
  disabled?: boolean;
}

export function Text({ label, value, onInput, hint, error, ...rest }: TextProps) {
  return (
    <Field label={label} hint={hint} error={error}>
      <input value={value} aria-invalid={error ? true : undefined} onInput={(event) => onInput(event.currentTarget.value)} spellcheck={false} {...(rest as object)} />
    </Field>
  );
}

export function Select({ label, value, options, onChange, hint, error, disabled }: { label: string; value: string; options: (string | [string, string])[]; onChange: (value: string) => void; hint?: ComponentChildren; error?: string; disabled?: boolean }) {
  return (
    <Field label={label} hint={hint} error={error}>
      <select value={value} aria-invalid={error ? true : undefined} disabled={disabled} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => {
          const [id, name] = typeof option === "string" ? [option, option] : option;
          return (
            <option key={id} value={id}>
              {name}
            </option>
          );
        })}
      </select>
    </Field>
  );
}

export function Check({ label, checked, onChange, hint, disabled }: { label: ComponentChildren; checked: boolean; onChange: (value: boolean) => void; hint?: ComponentChildren; disabled?: boolean }) {
  return (
    <label class="check">
      <input type="checkbox" checked={checked} disabled={disabled} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>
        {label}
        {hint ? (
          <>
            <br />
            <small>{hint}</small>
          </>
        ) : null}
      </span>
    </label>
  );
}

/** A value with a button that copies it. */
export function Copy({ value, children, label = "Copy" }: { value: string; children?: ComponentChildren; label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <span class="row tight">
      {children ?? <code>{value}</code>}
      <Button icon={done ? "check" : "copy"} kind="ghost small" label={done ? "Copied" : label} onClick={copy} />
    </span>
  );
}

/** A dialog: focus stays in it, Escape closes it. */
export function Modal({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current!;
    if (!dialog.open) dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "wide" : ""}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="body">
        <div class="bar">
          <h2 id={id}>{title}</h2>
          <Button icon="close" kind="ghost" label="Close" onClick={onClose} />
        </div>
        {children}
      </div>
    </dialog>
  );
}

/** A dialog with a form: what fails stays in it, above its buttons. It stays open for more where `onSubmit` answers `false`. */
export function FormModal({ title, onClose, onSubmit, submit = "Save", danger, children, wide, ready = true }: { title: string; onClose: () => void; onSubmit: () => Promise<unknown>; submit?: string; danger?: boolean; children: ComponentChildren; wide?: boolean; ready?: boolean }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  return (
    <Modal title={title} onClose={onClose} wide={wide}>
      <form
        class="stack"
        onSubmit={async (event) => {
          event.preventDefault();
          setBusy(true);
          setError(undefined);
          try {
            if ((await onSubmit()) === false) setBusy(false);
          } catch (problem) {
            setError(problem);
            setBusy(false);
          }
        }}
      >
        {children}
        {error ? <ErrorNote error={error} /> : null}
        <div class="row end">
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind={danger ? "danger solid" : "primary"} disabled={busy || !ready}>
            {busy ? "Working…" : submit}
          </Button>
        </div>
      </form>
    </Modal>
  );
}

interface Toast {
  id: number;
  text: string;
  kind: string;
}
const toasts = signal<Toast[]>([]);
let nextToast = 1;

export function toast(text: string, kind = "good"): void {
  const id = nextToast++;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  setTimeout(() => dismiss(id), kind === "danger" ? 12000 : 5000);
}

function dismiss(id: number): void {
  toasts.value = toasts.value.filter((one) => one.id !== id);
}

export function toastError(error: unknown): void {
  const { code, message } = trouble(error);
  toast(`${code}: ${message}`, "danger");
}

export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((one) => (
        <div key={one.id} class={`toast ${one.kind}`}>
          <span class="grow">{one.text}</span>
          <Button icon="close" kind="ghost small" label="Dismiss" onClick={() => dismiss(one.id)} />
        </div>
      ))}
    </div>
  );
}

/** An error with its code, and for a denial what the policies said. */
export function ErrorNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const said: Trouble = trouble(error);
  const [why, setWhy] = useState<any>();
  return (
    <div class={`note ${isDenied(said) ? "warn" : "danger"}`} role="alert">
      <strong>{isDenied(said) ? "You may not do this" : said.code}</strong>
      <span>{said.message}</span>
      {said.requestId ? <small>Request {said.requestId}</small> : null}
      <div class="row">
        {said.sealed && !why ? (
          <Button kind="small" onClick={async () => setWhy(await explain(said.sealed!))}>
            Why denied?
          </Button>
        ) : null}
        {retry ? (
          <Button kind="small" icon="refresh" onClick={retry}>
            Try again
          </Button>
        ) : null}
      </div>
      {why ? <Explanation value={why} /> : null}
    </div>
  );
}

/** A decoded authorization message: the decision, then what it was asked for, then the statements. */
function Explanation({ value }: { value: any }) {
  const statements = value.matchedStatements?.items ?? [];
  return (
    <div class="stack small">
      <span>
        {value.explicitDeny ? "A statement denies it explicitly:" : "No statement allows it. Asked for:"} <code>{String(value.context?.action ?? "")}</code> on{" "}
        <code>{String(value.context?.resource ?? "")}</code>
      </span>
      {statements.map((statement: any, index: number) => (
        <code key={index}>
          {statement.effect} {statement.statementId || "(no Sid)"}
        </code>
      ))}
      <details>
        <summary>All that was judged</summary>
        <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre>
      </details>
    </div>
  );
}

export function Empty({ icon, title, children }: { icon: string; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={32} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Card({ title, actions, children, flush }: { title?: string; actions?: ComponentChildren; children: ComponentChildren; flush?: boolean }) {
  return (
    <section class={`card ${flush ? "flush" : ""}`} aria-label={title}>
      {title || actions ? (
        <header>
          <h2>{title}</h2>
          {actions}
        </header>
      ) : null}
      {children}
    </section>
  );
}

export function Head({ title, crumbs, children }: { title: string; crumbs?: ComponentChildren; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = `${title} · Sealgate`;
  }, [title]);
  return (
    <div class="head">
      <div class="title">
        {crumbs ? (
          <nav class="crumbs" aria-label="Breadcrumb">
            {crumbs}
          </nav>
        ) : null}
        <h1>{title}</h1>
      </div>
      <div class="row">{children}</div>
    </div>
  );
}

export function Tabs({ tabs, value, onChange }: { tabs: [string, string][]; value: string; onChange: (id: string) => void }) {
  const step = (event: KeyboardEvent) => {
    const by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    const index = tabs.findIndex(([id]) => id === value);
    const next = tabs[(index + by + tabs.length) % tabs.length]!;
    onChange(next[0]);
    (event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>('[role="tab"]')[tabs.indexOf(next)]?.focus();
  };
  return (
    <div class="tabs" role="tablist" onKeyDown={step}>
      {tabs.map(([id, name]) => (
        <button key={id} type="button" role="tab" aria-selected={id === value} tabIndex={id === value ? 0 : -1} onClick={() => onChange(id)}>
          {name}
        </button>
      ))}
    </div>
  );
}

export interface Loaded<T> {
  data?: T;
  error?: unknown;
  loading: boolean;
  reload: () => void;
}

/** Loads when `keys` change. An answer that comes after a newer question is dropped. */
export function useLoad<T>(load: () => Promise<T>, keys: unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: true });
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    setState((before) => ({ data: before.data, loading: true }));
    load().then(
      (data) => mine === turn.current && setState({ data, loading: false }),
      (error) => mine === turn.current && setState({ error, loading: false }),
    );
  }, keys);
  useEffect(() => {
    setState({ loading: true });
    reload();
    return () => {
      turn.current += 1;
    };
  }, [reload]);
  return { ...state, reload };
}

/** What was loaded, or a word on why it is not there. */
export function Load<T>({ of, children }: { of: Loaded<T>; children: (data: T) => ComponentChildren }) {
  if (of.error) return <ErrorNote error={of.error} retry={of.reload} />;
  if (of.data === undefined) {
    return of.loading ? (
      <div class="empty" role="status">
        <span class="spin" />
        <span class="sr">Loading</span>
      </div>
    ) : null;
  }
  return <>{children(of.data)}</>;
}

/** A button that opens a list of actions. */
export function Menu({ label, items, icon = "dots" }: { label: string; icon?: string; items: ({ name: string; icon?: string; danger?: boolean; run: () => void } | false | undefined)[] }) {
  const [open, setOpen] = useState(false);
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (!(event.target instanceof Node) || !element.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", close);
    element.current?.querySelector<HTMLElement>(".sheet button")?.focus();
    return () => document.removeEventListener("pointerdown", close);
  }, [open]);
  const steer = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      setOpen(false);
      element.current?.querySelector<HTMLElement>(".btn")?.focus();
    }
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!by || !open) return;
    event.preventDefault();
    const buttons = [...element.current!.querySelectorAll<HTMLElement>(".sheet button")];
    buttons[(buttons.indexOf(document.activeElement as HTMLElement) + by + buttons.length) % buttons.length]?.focus();
  };
  return (
    <div class="pop" ref={element} onKeyDown={steer}>
      <button type="button" class="btn ghost icon" aria-label={label} aria-haspopup="menu" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={icon} size={16} />
      </button>
      {open ? (
        <div class="sheet" role="menu">
          {items.map((item) =>
            item ? (
              <button
                key={item.name}
                type="button"
                role="menuitem"
                class={item.danger ? "danger" : ""}
                onClick={() => {
                  setOpen(false);
                  item.run();
                }}
              >
                {item.icon ? <Icon name={item.icon} size={16} /> : null}
                {item.name}
              </button>
            ) : null,
          )}
        </div>
      ) : null}
    </div>
  );
}

/** Asks before something that can't be undone. `typed`: what has to be typed in. */
export function Confirm({ title, children, submit, typed, onClose, onSubmit }: { title: string; children?: ComponentChildren; submit: string; typed?: string; onClose: () => void; onSubmit: () => Promise<unknown> }) {
  const [text, setText] = useState("");
  return (
    <FormModal title={title} submit={submit} danger onClose={onClose} onSubmit={onSubmit} ready={!typed || text === typed}>
      {children}
      {typed ? <Text label={`Type "${typed}" to go on`} value={text} onInput={setText} autoComplete="off" /> : null}
    </FormModal>
  );
}
