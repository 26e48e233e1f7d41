// What pressing buttons has in common: every button that changes something is pressed once, and what the gateway answers afterwards tells
// whether it did.
import { until } from "./api.mjs";
import { button, dialog, go } from "./browser.mjs";

/** A bucket with object lock, and what its name begins others with. */
export const LOCKED = "console-locked";

/** Does something and waits for its toast; those of before are dismissed first. */
export async function toasted(page, words, work) {
  await page.evaluate(() => document.querySelectorAll(".toast button").forEach((one) => one.click()));
  await page.locator(".toast").first().waitFor({ state: "detached" });
  await work();
  await page.locator(".toast", { hasText: words }).last().waitFor();
}

/** Presses what is on the page; with words, until a toast says them. */
export async function press(page, name, words) {
  if (words) await toasted(page, words, () => button(page, name).click());
  else await button(page, name).click();
}

/** Presses the button that ends a dialog, and waits until the dialog has closed. */
export const submit = async (page, name) => {
  const form = dialog(page);
  await button(form, name).click();
  await form.waitFor({ state: "detached" });
};

/** Opens a page as it is now. What is shown may be read once more after a press, which would undo what is typed meanwhile. */
export async function reopen(page, route) {
  await go(page, "#/simulate");
  await go(page, route);
}

/** Adds a tag on a page of tags, and takes it away. `ask` tells the pairs that there are. */
export async function tags(page, route, ask) {
  const pairs = async (what, wanted) => until(what, ask, (now) => JSON.stringify(now) === JSON.stringify(wanted));
  await go(page, route);
  await button(page, "Add a tag").click();
  await page.getByLabel("Key of tag 1").fill("department");
  await page.getByLabel("Value of tag 1").fill("finance");
  await press(page, "Save");
  await pairs("the tag is there", [["department", "finance"]]);
  await reopen(page, route);
  await button(page, "Remove tag 1").click();
  await press(page, "Save");
  await pairs("the tag is gone", []);
}
