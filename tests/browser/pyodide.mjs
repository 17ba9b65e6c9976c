// Python in Node, with what docs/browser/build.py has put together and pytest beside it.
import { readFile, readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

export const ROOT = resolve(import.meta.dirname, "../..");

export async function startPython({ folder, pytestWheels, onnxruntime = true }) {
  if (onnxruntime) {
    const ort = await import(pathToFileURL(join(folder, "onnxruntime-web/ort.wasm.min.mjs")));
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = pathToFileURL(join(folder, "onnxruntime-web")).href + "/";
    ort.env.wasm.wasmBinary = await readFile(join(folder, "onnxruntime-web/ort-wasm-simd-threaded.wasm"));
    globalThis.ort = ort;
  }
  const { loadPyodide } = await import(pathToFileURL(join(folder, "pyodide/pyodide.mjs")));
  const python = await loadPyodide({ indexURL: join(folder, "pyodide/") });
  const wheels = JSON.parse(await readFile(join(folder, "wheels.json"), "utf8")).map((name) => join(folder, "wheels", name));
  if (pytestWheels) {
    for (const name of await readdir(pytestWheels)) if (name.endsWith(".whl")) wheels.push(join(pytestWheels, name));
  }
  const extractDir = python.runPython("import site; site.getsitepackages()[0]");
  for (const wheel of wheels) python.unpackArchive(new Uint8Array(await readFile(wheel)), "wheel", { extractDir });
  python.mountNodeFS("/repository", ROOT);
  return python;
}
