/** Light, dark, or as the system has it. The choice is no secret, so the browser may keep it. */
import { signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";
const NAME = "sealgate-theme";

function kept(): Theme {
  try {
    const value = localStorage.getItem(NAME);
    return value === "light" || value === "dark" ? value : "auto";
  } catch {
    return "auto";
  }
}

export const theme = signal<Theme>(kept());

export function setTheme(value: Theme): void {
  theme.value = value;
  document.documentElement.dataset["theme"] = value;
  try {
    if (value === "auto") localStorage.removeItem(NAME);
    else localStorage.setItem(NAME, value);
  } catch {
    // A browser that keeps nothing still shows the theme.
  }
}
setTheme(theme.value);

export const isDark = (): boolean => theme.value === "dark" || (theme.value === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
