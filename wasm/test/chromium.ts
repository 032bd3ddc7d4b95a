import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { type Browser, chromium } from "playwright-core";

const PATHS = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** Starts Chromium. */
export async function launch(): Promise<Browser> {
  const executablePath = PATHS.find((path) => path && existsSync(path));
  assert.ok(executablePath, "Chromium is needed: install it, or name it in CHROMIUM");
  const args = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
  ];
  return chromium.launch({ executablePath, args });
}
