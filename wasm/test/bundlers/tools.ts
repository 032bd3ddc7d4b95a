import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type BuildOptions, build } from "esbuild";
import { type Sites, addModel, app, page } from "./site.js";

/** Runs a program of node in a folder, as a user does: the test runner sets `NODE_ENV`. */
function run(folder: string, ...args: string[]): void {
  const env = { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" };
  execFileSync("node", args, { cwd: folder, stdio: "inherit", env });
}

/** Checks modules against the package's types, with neither `esnext.disposable` nor the types of node. */
export function typecheck(sites: Sites, name: string, tsc: string, files: Record<string, string>, options: object): void {
  const compilerOptions = { target: "es2022", lib: ["es2022", "dom"], types: [], strict: true, noEmit: true, skipLibCheck: false, ...options };
  const config = { compilerOptions, files: Object.keys(files) };
  run(sites.make(name, { ...files, "tsconfig.json": JSON.stringify(config) }), tsc, "-p", ".");
}

/** Builds a page with the vite in a `node_modules` folder, with default settings; returns the folder to serve. */
export function vite(sites: Sites, modules: string, name: string): string {
  const folder = viteProject(sites, name);
  run(folder, join(modules, name, "bin/vite.js"), "build", "--logLevel", "warn");
  return join(folder, "dist");
}

/** Starts a development server of vite. */
export async function viteServer(sites: Sites, modules: string, name: string, optimizeDeps = {}): Promise<{ address: string; close: () => Promise<void> }> {
  const { createServer } = await import(join(modules, name, "dist/node/index.js"));
  const root = viteProject(sites, `${name}-server-${Object.keys(optimizeDeps).length}`);
  const server = await createServer({ root, configFile: false, logLevel: "error", optimizeDeps, server: { port: 0, host: "127.0.0.1" } });
  await server.listen();
  return { address: `http://127.0.0.1:${server.httpServer.address().port}/`, close: () => server.close() };
}

function viteProject(sites: Sites, name: string): string {
  const folder = sites.make(name, { "index.html": page("/main.js"), "main.js": app() });
  addModel(join(folder, "public"));
  return folder;
}

/** Bundles a page with esbuild and copies the package's files beside the bundle. */
export async function esbuild(sites: Sites, name: string, options: BuildOptions): Promise<string> {
  const folder = sites.make(name, { "main.js": app() });
  const out = join(folder, "out");
  await build({ entryPoints: [join(folder, "main.js")], bundle: true, outfile: join(out, "main.js"), logLevel: "error", ...options });
  const files = join(sites.packed, "dist/js");
  for (const file of readdirSync(files)) if (file === "worker.js" || file.endsWith(".wasm")) cpSync(join(files, file), join(out, file));
  writeFileSync(join(out, "index.html"), page("main.js", options.format === "esm" ? "module" : ""));
  addModel(out);
  return out;
}

/** Builds a page with webpack without a configuration. */
export function webpack(sites: Sites, modules: string): string {
  const folder = sites.make("webpack", { "main.js": app() });
  const script = `import webpack from ${JSON.stringify(join(modules, "webpack/lib/index.js"))};
webpack({ mode: "production", entry: "./main.js", performance: false, context: ${JSON.stringify(folder)} }, (error, stats) => {
  if (error || stats.hasErrors()) { console.error(error ?? stats.toString()); process.exit(1); }
});`;
  writeFileSync(join(folder, "build.js"), script);
  run(folder, "build.js");
  writeFileSync(join(folder, "dist/index.html"), page("main.js", ""));
  addModel(join(folder, "dist"));
  return join(folder, "dist");
}

/** Exports a page with Next.js, which loads the model in an effect. */
export function next(sites: Sites, modules: string, bundler: "--turbopack" | "--webpack"): string {
  const folder = sites.make(`next${bundler}`, {
    "next.config.mjs": `export default { output: "export", turbopack: { root: ${JSON.stringify(join(modules, ".."))} } };\n`,
    "start.js": app().replace("run().catch", "export const start = () => void run().catch"),
  });
  mkdirSync(join(folder, "app"));
  const layout = 'export default function Layout({ children }) {\n  return <html lang="en"><body>{children}</body></html>;\n}\n';
  const content = '"use client";\nimport { useEffect } from "react";\nimport { start } from "../start.js";\nexport default function Page() {\n  useEffect(start, []);\n  return <p>hh</p>;\n}\n';
  writeFileSync(join(folder, "app/layout.js"), layout);
  writeFileSync(join(folder, "app/page.js"), content);
  run(folder, join(modules, "next/dist/bin/next"), "build", bundler);
  addModel(join(folder, "out"));
  return join(folder, "out");
}
