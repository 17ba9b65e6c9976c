// The page: camera, pictures and drawing. What is answered comes from the worker, where ratta runs.
const $ = (id) => document.getElementById(id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const LONGER_SIDE = 640;
const CHART_S = 12;
const PARTS = { copy: "pixels in", face: "find face", network: "network", rest: "the rest" };
const PICTURE_PARTS = { copy: "pixels in", face: "detect", rest: "preprocess", network: "predict" };
const options = new URLSearchParams(location.search);  // ?runtime=numpy, ?seconds=60

// --- the worker -----------------------------------------------------------------------------------------------------
const worker = new Worker("worker.js", { type: "module" });
const waiting = new Map();
let asked = 0;
worker.onmessage = ({ data: { id, answer, error, progress } }) => {
  if (progress !== undefined) return shownProgress(progress);
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(answer);
  else reject(new Error(error));
};
worker.onerror = (event) => failed(new Error(event.message ?? "the worker could not start"));

function ask(call, given = {}, transfer = []) {
  const id = (asked += 1);
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject });
    worker.postMessage({ id, call, ...given }, transfer);
  });
}

let model;
let view = "camera";

function shownProgress(line) {
  $(model ? "bench-progress" : "progress").textContent = line;
}

function failed(error) {
  document.body.dataset.failed = error.message;
  $("progress").textContent = error.message;
  $("progress").hidden = false;
  $("reason").textContent = error.message;
}

ask("start", { runtime: options.get("runtime") ?? undefined }).then((answer) => {
  model = JSON.parse(answer);
  const where = model.runtime === "web" ? "onnxruntime-web" : "NumPy in Python (this browser has no JSPI)";
  $("runtime").textContent = where;
  $("model").textContent = `${where}; ${model.name} ${model.version} (${model.sha256.slice(0, 12)}), ${model.megabytes.toFixed(2)} MB; `
    + `live from ${model.live_threshold.toFixed(2)}, spoof up to ${model.spoof_threshold.toFixed(2)}; calibrated on: ${model.origin}`;
  showAdaptation(model.adaptation);
  $("run").disabled = $("another").disabled = false;
  document.body.dataset.ready = model.runtime;
  show(view);
}, failed);

// --- views ----------------------------------------------------------------------------------------------------------
for (const tab of document.querySelectorAll("nav button")) tab.onclick = () => tab.dataset.view !== view && show(tab.dataset.view);

function show(name) {
  view = name;
  document.querySelector("main").dataset.view = name;
  for (const tab of document.querySelectorAll("nav button")) tab.setAttribute("aria-selected", tab.dataset.view === name);
  if (name !== "camera") stopCamera();
  $("still").hidden = name !== "picture";
  $("curtain").hidden = name === "picture" && Boolean(pictured);
  $("progress").hidden = Boolean(model);
  $("start").hidden = !model || name !== "camera";
  $("choose").hidden = $("example").hidden = !model || name !== "picture";
  if (name === "picture" && pictured) showPicture(pictured);
  else if (name !== "bench") clearAnswer(name === "camera" ? "No frame yet" : "No picture yet");
}

function clearAnswer(reason) {
  showDecision({ verdict: "none", live_score: null, reason });
  $("verdict").textContent = "–";
  $("total").textContent = "–";
  $("pace").textContent = "";
  $("bar").replaceChildren();
  $("stages").replaceChildren();
  drawBox(null, 1, 1);
}

function showDecision({ verdict, live_score, reason, detail }, note = "") {
  $("answer").dataset.verdict = verdict;
  $("verdict").textContent = verdict;
  $("reason").textContent = [reason, detail, note].filter(Boolean).join(" · ");
  $("score").textContent = live_score === null ? "–" : live_score.toFixed(2);
}

function showStages(stages, parts, pace) {
  const total = Object.values(stages).reduce((sum, ms) => sum + ms, 0);
  $("total").textContent = `${total.toFixed(1)} ms`;
  $("total").dataset.ms = total;
  $("pace").textContent = pace;
  const names = Object.keys(parts);
  $("bar").replaceChildren(...names.map((name) => {
    const piece = document.createElement("i");
    piece.className = name;
    piece.style.width = `${(100 * stages[name]) / total}%`;
    return piece;
  }));
  $("stages").replaceChildren(...names.map((name) => {
    const row = document.createElement("div");
    row.innerHTML = `<i class="${name}"></i><dt>${parts[name]}</dt><dd>${stages[name].toFixed(1)} ms</dd>`;
    return row;
  }));
}

const BANDS = {
  in: "the camera is as the model knows it",
  adapt: "the camera differs, and anchors may deny",
  refuse: "the camera differs a lot, and anchors may deny",
};

function showAdaptation(state) {
  $("budget").hidden = true;
  if (!state) {
    $("adaptation").textContent = "This model does not adapt: it answers with what it was shipped with.";
    return;
  }
  const { studied, confirmed, gated, rollbacks } = state.counts;
  $("adaptation").textContent = `${state.adapted ? "Denied as unlike the live faces learnt here" : "Answered by the source"}: `
    + `${BANDS[state.band]}. ${studied} attempts studied, learnt from ${confirmed} confirmed and ${gated} gated ones, `
    + `${state.denied} denied, ${rollbacks} roll-backs. ${state.threshold === null ? "No threshold yet (ten live sessions). " : ""}`
    + `${state.spent_ms.toFixed(0)} ms spent, ${(100 * state.spent_share).toFixed(0)} % of the budget so far.`;
  $("budget").hidden = false;
  $("budget").firstElementChild.style.width = `${100 * Math.min(1, state.spent_share)}%`;
}

function drawBox(box, width, height) {
  const overlay = $("overlay");
  overlay.width = width;
  overlay.height = height;
  if (!box) return;
  const ink = overlay.getContext("2d");
  ink.lineWidth = Math.max(2, width / 160);
  ink.strokeStyle = css(`--${$("answer").dataset.verdict}`);
  ink.beginPath();
  ink.roundRect(box.x_min, box.y_min, box.x_max - box.x_min, box.y_max - box.y_min, width / 50);
  ink.stroke();
}

// --- the camera -----------------------------------------------------------------------------------------------------
const taken = document.createElement("canvas");
const shot = taken.getContext("2d", { willReadFrequently: true });
let stream = null;
let facing = "user";
let course = [];
let recent = [];

$("start").onclick = startCamera;
$("stop").onclick = () => { stopCamera(); show("camera"); };
$("flip").onclick = () => { facing = facing === "user" ? "environment" : "user"; stopCamera(); startCamera(); };

async function startCamera() {
  $("start").disabled = true;
  try {
    const wanted = { facingMode: facing, width: { ideal: 640 }, height: { ideal: 480 } };
    stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    $("video").srcObject = stream;
    await $("video").play();
  } catch (error) {
    stopCamera();
    return failed(new Error(`The camera cannot be opened: ${error.message}. It needs your permission, and a page on https or localhost.`));
  } finally {
    $("start").disabled = false;
  }
  const settings = stream.getVideoTracks()[0].getSettings();
  $("stage").classList.toggle("mirrored", settings.facingMode !== "environment" && options.get("mirror") !== "no");
  $("curtain").hidden = true;
  $("stop").disabled = $("flip").disabled = false;
  course = [];
  recent = [];
  await ask("forget");
  watch(stream);
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  $("video").srcObject = null;
  $("stop").disabled = $("flip").disabled = true;
}

async function watch(mine) {
  const video = $("video");
  while (stream === mine) {
    await nextFrame(video);
    if (stream !== mine || !video.videoWidth) continue;
    const t = performance.now() / 1000;
    const { pixels, width, height } = pixelsOf(video, video.videoWidth, video.videoHeight);
    let answer;
    try {
      answer = JSON.parse(await ask("frame", { pixels, width, height, t }, [pixels.buffer]));
    } catch (error) {
      stopCamera();
      show("camera");
      return failed(error);
    }
    if (stream === mine) showFrame(answer, t, width, height);
  }
}

// Every frame of the camera once, where the browser tells of them; twice the same would be refused as a frozen camera.
function nextFrame(video) {
  const wait = video.requestVideoFrameCallback
    ? (go) => video.requestVideoFrameCallback(go)
    : (go) => setTimeout(() => requestAnimationFrame(go), 1000 / 30);
  return Promise.race([new Promise(wait), new Promise((go) => setTimeout(go, 500))]);
}

function pixelsOf(source, sourceWidth, sourceHeight, longest = LONGER_SIDE) {
  const scale = Math.min(1, longest / Math.max(sourceWidth, sourceHeight));
  const [width, height] = [Math.round(sourceWidth * scale), Math.round(sourceHeight * scale)];
  if (taken.width !== width || taken.height !== height) [taken.width, taken.height] = [width, height];
  shot.imageSmoothingQuality = "high";
  shot.drawImage(source, 0, 0, width, height);
  return { pixels: shot.getImageData(0, 0, width, height).data, width, height };
}

function showFrame({ decision, fresh, stages, adaptation }, t, width, height) {
  showDecision(decision, decision.final ? "final" : "");
  showAdaptation(adaptation);
  drawBox(decision.box, width, height);
  if (!fresh) return;
  recent = [...recent.filter((entry) => t - entry.t < 2), { t, stages }];
  const span = recent.length > 1 ? (recent.length - 1) / (t - recent[0].t) : NaN;
  // The mean, not the median: the face is searched for in few frames, and its share belongs to all.
  const means = Object.fromEntries(Object.keys(PARTS).map((part) => [part, mean(recent.map((entry) => entry.stages[part]))]));
  showStages(means, PARTS, Number.isFinite(span) ? `a frame, ${span.toFixed(0)} frames a second` : "a frame");
  course = [...course.filter((entry) => t - entry.t < CHART_S), { t, ...decision, t_decision: decision.t }];
  drawCourse(t);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function drawCourse(now) {
  const chart = $("chart");
  const [width, height, dots] = [chart.clientWidth, chart.clientHeight, devicePixelRatio || 1];
  chart.width = width * dots;
  chart.height = height * dots;
  const ink = chart.getContext("2d");
  ink.scale(dots, dots);
  const [left, right, top, bottom] = [26, width - 4, 6, height - 8];
  const x = (t) => right - ((now - t) / CHART_S) * (right - left);
  const y = (score) => bottom - score * (bottom - top);
  const band = (from, to, color) => {
    ink.globalAlpha = 0.13;
    ink.fillStyle = css(color);
    ink.fillRect(left, y(to), right - left, y(from) - y(to));
    ink.globalAlpha = 1;
  };
  band(model.live_threshold, 1, "--live");
  band(model.spoof_threshold, model.live_threshold, "--uncertain");
  band(0, model.spoof_threshold, "--spoof");
  ink.fillStyle = css("--soft");
  ink.font = "11px system-ui, sans-serif";
  ink.textAlign = "right";
  ink.textBaseline = "middle";
  for (const score of [0, 0.5, 1]) ink.fillText(String(score), left - 6, Math.min(bottom - 4, Math.max(top + 4, y(score))));
  ink.strokeStyle = css("--ink");
  ink.lineWidth = 2;
  ink.beginPath();
  let pen = false;
  for (const entry of course) {
    if (entry.session_score === null) pen = false;
    else if (pen) ink.lineTo(x(entry.t), y(entry.session_score));
    else ink.moveTo(x(entry.t), y(entry.session_score)), (pen = true);
    if (entry.final) pen = false;
  }
  ink.stroke();
  for (const entry of course) {
    ink.fillStyle = css(`--${entry.verdict}`);
    if (entry.live_score === null) ink.fillRect(x(entry.t) - 1, bottom + 2, 2, 6);
    else ink.beginPath(), ink.arc(x(entry.t), y(entry.live_score), 2.5, 0, 7), ink.fill();
  }
  chart.setAttribute("aria-label", `Live score of the last ${CHART_S} seconds; now ${$("score").textContent}, ${$("verdict").textContent}`);
}

// --- a picture ------------------------------------------------------------------------------------------------------
let pictured = null;

$("choose").onclick = $("another").onclick = () => $("file").click();
$("example").onclick = async () => look(new Blob([await ask("example")], { type: "image/jpeg" }));
$("file").onchange = () => { if ($("file").files.length) look($("file").files[0]); $("file").value = ""; };

async function look(blob) {
  try {
    const bitmap = await createImageBitmap(blob);  // turned as the camera that took it says
    const { pixels, width, height } = pixelsOf(bitmap, bitmap.width, bitmap.height, 1280);
    const picture = { data: new ImageData(pixels.slice(), width, height) };
    picture.answer = JSON.parse(await ask("picture", { pixels, width, height }, [pixels.buffer]));
    pictured = picture;
    show("picture");
  } catch (error) {
    show("picture");
    failed(error);
  }
}

function showPicture({ data, answer }) {
  const still = $("still");
  still.width = data.width;
  still.height = data.height;
  const ink = still.getContext("2d");
  ink.putImageData(data, 0, 0);
  $("stage").classList.remove("mirrored");
  showDecision(answer.decision);
  drawBox(answer.box, data.width, data.height);
  showStages(answer.stages, PICTURE_PARTS, "from pixels to score");
}

// --- ratta-bench ----------------------------------------------------------------------------------------------------
const seconds = Number(options.get("seconds") ?? 20);
$("seconds").textContent = seconds;
let result = null;

$("run").onclick = async () => {
  $("run").disabled = $("save").disabled = true;
  $("report").hidden = true;
  try {
    const answer = JSON.parse(await ask("bench", { seconds }));
    result = answer.result;
    $("report").textContent = answer.text;
    $("report").hidden = false;
    $("save").disabled = false;
    $("bench-progress").textContent = "Done.";
  } catch (error) {
    $("bench-progress").textContent = error.message;
  }
  $("run").disabled = false;
};

$("save").onclick = () => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(result, null, 1) + "\n"], { type: "application/json" }));
  link.download = "ratta-bench.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
