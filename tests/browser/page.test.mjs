// The page in headless Chromium, before a fake camera that plays a clip.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import test, { after, before } from "node:test";

const folder = process.env.RATTA_BROWSER;
const clips = process.env.RATTA_CLIPS;
const shots = process.env.RATTA_SHOTS; // where screenshots go, if anywhere
const { chromium } = createRequire(join(process.env.RATTA_PLAYWRIGHT, "x.js"))("playwright-core");
const PATIENCE_MS = 300_000; // a busy machine compiles WebAssembly slowly
const FLAGS = (
  "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update "
  + "--disable-sync --use-fake-ui-for-media-stream --use-fake-device-for-media-stream"
).split(" ");
const TYPES = {
  ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".mjs": "text/javascript", ".json": "application/json",
  ".wasm": "application/wasm",
};
const PHONE = { width: 390, height: 844 };
const DESK = { width: 1280, height: 800 };

const server = createServer(async ({ url }, response) => {
  const path = new URL(url, "http://x").pathname;
  try {
    const body = await readFile(join(folder, path === "/" ? "index.html" : path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? (path === "/" ? "text/html" : "application/octet-stream") });
    response.end(body);
  } catch {
    response.writeHead(404).end();
  }
});
let origin;
before(async () => {
  await new Promise((go) => server.listen(0, "127.0.0.1", go));
  origin = `http://127.0.0.1:${server.address().port}`;
});
after(() => server.close());

// Opens the page with a clip before the camera, waits for the model, and afterwards checks what the page asked for.
async function withPage({ clip = "live", query = "", size = PHONE }, look) {
  const profile = await mkdtemp(join(tmpdir(), "ratta-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true, viewport: size, deviceScaleFactor: 2, acceptDownloads: true,
    args: [...FLAGS, `--use-file-for-fake-video-capture=${join(clips, `${clip}.y4m`)}`],
  });
  try {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const [errors, elsewhere] = [[], []];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    context.on("request", (request) => { if (!/^(blob|data):/.test(request.url()) && new URL(request.url()).origin !== origin) elsewhere.push(request.url()); });
    const began = performance.now();
    await page.goto(`${origin}/${query}`);
    await page.waitForFunction(() => document.body.dataset.ready || document.getElementById("reason").textContent.includes("Error"));
    console.log(`${clip} ${query}: ready after ${((performance.now() - began) / 1000).toFixed(1)} s`);
    await look(page);
    assert.deepEqual(errors, []);
    assert.deepEqual(elsewhere, [], "everything comes from the page's own server");
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

const text = (page, id) => page.locator(`#${id}`).innerText();
const shoot = async (page, name) => shots && page.screenshot({ path: join(shots, `${name}.png`) });
const boxed = (page) => page.evaluate(() => {
  const overlay = document.getElementById("overlay");
  return overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height).data.some((value) => value);
});

async function watchedToTheEnd(page) {
  await page.click("#start");
  await page.waitForFunction(() => document.getElementById("reason").textContent.includes("final"));
  const seen = { verdict: (await text(page, "verdict")).toLowerCase(), reason: await text(page, "reason"), score: Number(await text(page, "score")) };
  seen.boxed = await boxed(page);
  return seen;
}

test("a live face before the camera ends live, with its box, its course and what it cost", async () => {
  await withPage({ clip: "live" }, async (page) => {
    assert.equal(await page.evaluate(() => document.body.dataset.ready), "web");
    const seen = await watchedToTheEnd(page);
    await shoot(page, "live-390x844");
    assert.deepEqual([seen.verdict, seen.boxed], ["live", true], JSON.stringify(seen));
    assert.match(await text(page, "adaptation"), /does not adapt/);
    assert.match(await page.locator("#chart").getAttribute("aria-label"), /now [01]\.\d\d, live/i);
    const samples = [];
    for (let i = 0; i < 20; i += 1) {
      await page.waitForTimeout(250);
      samples.push(await page.evaluate(() => [document.getElementById("total").innerText, document.getElementById("pace").innerText, ...[...document.querySelectorAll("#stages dd")].map((e) => e.innerText)].join(" ")));
    }
    console.log(`live: ${JSON.stringify(seen)}\n  ${samples.filter((_, i) => i % 5 === 4).join("\n  ")}`);
    assert.ok(Number(await page.locator("#total").getAttribute("data-ms")) > 0);
    await page.setViewportSize(DESK);
    await page.waitForTimeout(1500);
    await shoot(page, "live-1280x800");
    await page.click("#stop");
    assert.equal(await page.locator("#start").isVisible(), true);
  });
});

test("the same face on a screen ends as a spoof", async () => {
  await withPage({ clip: "replay" }, async (page) => {
    const seen = await watchedToTheEnd(page);
    await shoot(page, "replay-390x844");
    console.log(`replay: ${JSON.stringify(seen)}`);
    assert.equal(seen.verdict, "spoof", JSON.stringify(seen));
  });
});

test("a picture is detected, cut out and scored, the shipped one and a chosen one; ratta-bench's result can be saved", async () => {
  await withPage({ query: "?seconds=4" }, async (page) => {
    await page.click("[data-view=picture]");
    await page.click("#example");
    await page.waitForFunction(() => document.querySelectorAll("#stages dd").length === 4);
    const example = [await text(page, "verdict"), await text(page, "score"), await text(page, "total")];
    await shoot(page, "picture-390x844");
    assert.match(example[1], /^[01]\.\d\d$/);
    assert.equal(await boxed(page), true);
    assert.deepEqual(await page.locator("#stages dt").allInnerTexts(), ["copy the pixels", "detect", "preprocess", "predict"]);
    await page.setInputFiles("#file", process.env.RATTA_PICTURE);
    await page.waitForTimeout(3000);
    assert.equal(await text(page, "score"), example[1], "the same picture scores the same");
    console.log(`picture: ${example.join(", ")}; again ${await text(page, "total")}`);

    await page.click("[data-view=bench]");
    await page.click("#run");
    await page.waitForFunction(() => !document.getElementById("save").disabled);
    const report = await page.locator("#report").innerText();
    console.log(report);
    await shoot(page, "bench-390x844");
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#save")]);
    const result = JSON.parse(await readFile(await download.path(), "utf8"));
    if (shots) await writeFile(join(shots, "ratta-bench.json"), JSON.stringify(result, null, 1) + "\n");
    assert.match(report, /^SWAP /m);
    assert.deepEqual([result.schema, result.settings.runtime], ["ratta-bench/1", "web"]);
    assert.ok(result.timings["bare run"].wall_ms.p50 > 0);
  });
});

test("a browser in which Python cannot wait is answered by NumPy alone", async () => {
  await withPage({ query: "?runtime=numpy" }, async (page) => {
    assert.match(await text(page, "runtime"), /NumPy/);
    const seen = await watchedToTheEnd(page);
    console.log(`numpy: ${JSON.stringify(seen)} ${await text(page, "total")} ${await text(page, "pace")}`);
    assert.equal(seen.verdict, "live");
  });
});
