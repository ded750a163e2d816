// The page of all endpoints: a form each, one job at a time, its result shown as what it is.
"use strict";

const keyBox = document.getElementById("key");
keyBox.value = sessionStorage.getItem("key") || "";
keyBox.addEventListener("change", () => { sessionStorage.setItem("key", keyBox.value); load(); });

async function call(method, path, body) {
  const headers = keyBox.value ? { Authorization: `Bearer ${keyBox.value}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const text = await answer.text();
  let value;
  try { value = JSON.parse(text); } catch { value = { error: text || answer.statusText }; }
  if (!answer.ok) throw new Error(value.error || value.message || `${answer.status} ${answer.statusText}`);
  return value;
}

async function load() {
  const main = document.getElementById("endpoints");
  try {
    const endpoints = await call("GET", "/docs/endpoints.json");
    main.replaceChildren(...endpoints.map(show));
    if (!endpoints.length) main.append(element("p", { className: "quiet" }, "There is no endpoint."));
  } catch (error) {
    main.replaceChildren(element("p", { className: "problem" }, error.message));
  }
}

function show(endpoint) {
  const form = makeForm(endpoint.input || {});
  const run = element("button", { type: "submit" }, "Run");
  const stop = element("button", { type: "button", disabled: true }, "Cancel");
  const state = element("span", { role: "status" });
  const output = element("div");
  const node = element("form", {}, ...form.nodes, element("div", { className: "buttons" }, run, stop, state), output);
  node.addEventListener("submit", (event) => { event.preventDefault(); start(endpoint, form, { run, stop, state, output }); });
  const curl = `curl -s ${location.origin}/v2/${endpoint.name}/runsync -H 'Authorization: Bearer KEY' `
    + `-H 'Content-Type: application/json' -d '{"input": {…}}'`;
  return element("section", { id: endpoint.name },
    element("h2", {}, endpoint.name), element("p", { className: "doc" }, endpoint.doc || ""), node,
    element("details", {}, element("summary", {}, "Schema and curl"), element("pre", {}, curl),
      element("pre", {}, JSON.stringify(endpoint.input || {}, null, 2)),
      ...(endpoint.output ? [element("pre", {}, JSON.stringify(endpoint.output, null, 2))] : [])));
}

async function start(endpoint, form, ui) {
  ui.output.replaceChildren();
  const base = `/v2/${endpoint.name}`;
  ui.run.disabled = true;
  try {
    const job = await call("POST", `${base}/run`, { input: await form.read() });
    ui.stop.disabled = false;
    ui.stop.onclick = () => call("POST", `${base}/cancel/${job.id}`).catch((error) => report(ui, error));
    await follow(base, job.id, ui);
  } catch (error) {
    report(ui, error);
  } finally {
    ui.run.disabled = false;
    ui.stop.disabled = true;
  }
}

async function follow(base, id, ui) {
  const began = performance.now();
  for (;;) {
    const status = await call("GET", `${base}/status/${id}`);
    ui.state.textContent = `${status.status} ${((performance.now() - began) / 1000).toFixed(1)} s`;
    ui.state.className = status.status;
    if (!["IN_QUEUE", "IN_PROGRESS"].includes(status.status)) return finish(status, ui);
    if (status.output !== undefined) ui.output.replaceChildren(element("pre", {}, JSON.stringify(status.output, null, 2)));
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

function finish(status, ui) {
  const times = `queued ${status.delayTime ?? 0} ms, ran ${status.executionTime ?? 0} ms`;
  ui.state.textContent = `${status.status} · ${times}`;
  ui.output.replaceChildren();
  if (status.error) ui.output.append(element("pre", { className: "problem" }, pretty(status.error)));
  if (status.output !== undefined) {
    ui.output.append(...previews(status.output));
    ui.output.append(element("pre", {}, JSON.stringify(status.output, (k, v) => shorten(v), 2)));
  }
}

function pretty(error) {
  try {
    const known = JSON.parse(error);
    return known.error_message ? `${known.error_message}\n\n${known.error_traceback || ""}` : error;
  } catch { return error; }
}

function shorten(value) {
  return typeof value === "string" && value.length > 400 ? `${value.slice(0, 120)}… (${value.length} characters)` : value;
}

// Players and links for every file in a result.
function previews(value) {
  if (Array.isArray(value)) return value.flatMap(previews);
  if (value === null || typeof value !== "object") return [];
  const { url, media_type: type, name } = value;
  if (typeof url !== "string" || !/^(data:|https?:)/.test(url)) return Object.values(value).flatMap(previews);
  const link = element("a", { href: url, download: name || "file" }, `${name || "file"} (${type || "file"})`);
  const family = String(type || "").split("/")[0];
  if (family === "audio" || family === "video") return [element(family, { src: url, controls: true }), link];
  return family === "image" ? [element("img", { src: url, alt: name || "" }), link] : [link];
}

function report(ui, error) {
  ui.state.textContent = "";
  ui.output.replaceChildren(element("pre", { className: "problem" }, error.message));
}

load();
