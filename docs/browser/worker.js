// Python beside the page: Pyodide runs ratta, onnxruntime-web runs its graphs, and the page stays free to draw.
import { loadPyodide } from "./pyodide/pyodide.mjs";
import * as ort from "./onnxruntime-web/ort.wasm.min.mjs";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = new URL("onnxruntime-web/", import.meta.url).href;
globalThis.ort = ort;

const say = (line) => postMessage({ progress: line });
let inside;

const answers = {
  // `callPromising` is what lets Python wait for a promise in the middle of a call, where the browser can.
  frame: ({ pixels, width, height, t }) => inside.frame.callPromising(pixels, width, height, t),
  picture: ({ pixels, width, height }) => inside.picture.callPromising(pixels, width, height),
  bench: ({ seconds }) => inside.bench.callPromising(seconds, say),
  example: () => inside.example().toJs(),
  forget: () => inside.forget(),
};

async function start({ runtime }) {
  say("Loading Python");
  const python = await loadPyodide({ indexURL: new URL("pyodide/", import.meta.url).href });
  say("Loading NumPy and ratta");
  const wheels = await (await fetch("wheels.json")).json();
  await python.loadPackage(wheels.map((name) => new URL(`wheels/${name}`, import.meta.url).href), { messageCallback: () => {} });
  python.FS.writeFile("inside.py", await (await fetch("inside.py")).text());
  inside = python.pyimport("inside");
  say("Loading the model");
  const canWait = await python.runPythonAsync("from pyodide.ffi import can_run_sync; can_run_sync()");
  return inside.start.callPromising(runtime ?? (canWait ? "web" : "numpy"));
}

onmessage = async ({ data: { id, call, ...given } }) => {
  try {
    postMessage({ id, answer: await (call === "start" ? start(given) : answers[call](given)) });
  } catch (error) {
    postMessage({ id, error: String(error.message ?? error).trim().split("\n").at(-1) });
  }
};
