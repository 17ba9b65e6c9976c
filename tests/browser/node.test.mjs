// The core in Pyodide under Node: its tests, and the graphs in onnxruntime-web, which Node can only await.
import assert from "node:assert/strict";
import test from "node:test";
import { startPython } from "./pyodide.mjs";

const folder = process.env.RATTA_BROWSER;
const pytestWheels = process.env.RATTA_PYTEST;
const python = await startPython({ folder, pytestWheels });
python.runPython(`import sys; sys.path.append("/repository/tests/browser")`);

test("onnxruntime-web answers as NumPy does, on the shipped graphs", async () => {
  const deviations = await python.runPythonAsync(`
import json
import numpy as np
from ratta.bundle import DEFAULT_MODEL, find_bundle, read_bundle, read_detector
from ratta.inference import NumpySession, WebSession
rng, deviations = np.random.default_rng(0), {}
for name, graph in (("model", read_bundle(find_bundle(DEFAULT_MODEL)).graph), ("detector", read_detector())):
    web, plain = WebSession(graph), NumpySession(graph)
    assert (web.inputs, web.outputs, web.shapes) == (plain.inputs, plain.outputs, plain.shapes)
    worst = 0.0
    for _ in range(8):
        feeds = {"pixels": rng.integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)}
        for ours, theirs in zip(await web.run_async(feeds), plain.run(feeds), strict=True):
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            worst = max(worst, float((np.abs(ours - theirs) / np.maximum(1, np.abs(theirs))).max()))
    deviations[name] = worst
json.dumps(deviations)
`);
  console.log(`largest deviation from NumPy, 8 crops of noise: ${deviations}`);
  for (const worst of Object.values(JSON.parse(deviations))) assert.ok(worst < 1e-4, `${worst}`);
});

test("what does not fit is refused with ratta's own errors", async () => {
  const names = await python.runPythonAsync(`
import js
from ratta.errors import RattaError
async def refused(call):
    try:
        await call()
    except RattaError as error:
        return type(error).__name__
async def waiting():
    web.run(feeds)
async def without():
    ort = js.ort
    del js.ort
    try:
        WebSession(graph)
    finally:
        js.ort = ort
async def cut():
    WebSession(graph[:1000])
graph = read_detector()
web = WebSession(graph)
feeds = {"pixels": np.zeros((1, 128, 128, 3), np.uint8)}
json.dumps([
    await refused(lambda: web.run_async({})),
    await refused(lambda: web.run_async({"pixels": np.zeros((1, 128, 128, 3), np.float32)})),
    await refused(lambda: web.run_async({"pixels": np.zeros((1, 64, 64, 3), np.uint8)})),
    await refused(waiting),
    await refused(without),
    await refused(cut),
])
`);
  assert.deepEqual(JSON.parse(names), ["InputError", "InputError", "InputError", "MissingExtraError", "MissingExtraError", "BundleError"]);
});

test("the core's tests pass", () => {
  const status = python.pyimport("core").run("/repository");
  assert.equal(status, 0);
});
