// Makes form fields of a JSON Schema and reads them back as JSON. Nothing is written as HTML: names and texts come
// from users' code and are only ever set as text.
"use strict";

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key in node && key !== "list") node[key] = value; else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

// Follows $ref and takes the null out of `T | null`.
function plainSchema(schema, root) {
  for (let i = 0; i < 20; i++) {
    if (schema.$ref) {
      const found = schema.$ref.replace(/^#\//, "").split("/").reduce((at, part) => at && at[part], root);
      schema = { ...found, ...schema, $ref: undefined };
      continue;
    }
    const kinds = (schema.anyOf || []).filter((s) => s.type !== "null");
    if (!schema["x-file"] && kinds.length === 1) { schema = { ...kinds[0], ...schema, anyOf: undefined }; continue; }
    return schema;
  }
  return schema;
}

function fileAsDataUrl(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
}

// One field: {node, read}; `read` answers undefined for what was left empty.
function makeField(name, given, root, required) {
  const schema = plainSchema(given, root);
  const id = `f${++makeField.count}`;
  const label = element("label", { className: "name", htmlFor: id }, name);
  if (required) label.append(element("b", { title: "required" }, " *"));
  const { control, read } = makeControl(id, schema);
  const row = element("div", { className: "field" }, label, control);
  const notes = [schema.description, ...limits(schema)].filter(Boolean).join(" · ");
  if (notes) row.append(element("small", {}, notes));
  return { node: row, read: async () => {
    try { return await read(); } catch (error) { throw new Error(`${name}: ${error.message}`); }
  } };
}
makeField.count = 0;

function limits(schema) {
  const words = { minimum: "≥", maximum: "≤", exclusiveMinimum: ">", exclusiveMaximum: "<", pattern: "pattern" };
  return Object.entries(words).filter(([k]) => schema[k] !== undefined).map(([k, w]) => `${w} ${schema[k]}`);
}

function makeControl(id, schema) {
  const initial = schema.default;
  if (schema["x-file"]) return fileControl(id, schema["x-file"]);
  if (schema.enum) {
    const options = schema.enum.map((v, i) => element("option", { value: String(i), selected: v === initial }, String(v)));
    if (initial === undefined) options.unshift(element("option", { value: "" }, ""));
    const select = element("select", { id }, ...options);
    return { control: select, read: () => (select.value === "" ? undefined : schema.enum[Number(select.value)]) };
  }
  if (schema.type === "boolean") {
    const box = element("input", { id, type: "checkbox", checked: initial === true });
    return { control: element("span", {}, box), read: () => (box.checked || initial !== undefined ? box.checked : undefined) };
  }
  if (schema.type === "integer" || schema.type === "number") {
    const input = element("input", { id, type: "number", step: schema.type === "integer" ? "1" : "any",
      placeholder: initial === undefined ? "" : String(initial) });
    return { control: input, read: () => (input.value === "" ? undefined : Number(input.value)) };
  }
  if (schema.type === "string") {
    const area = element("textarea", { id, placeholder: initial === undefined ? "" : String(initial), rows: 2 });
    return { control: area, read: () => (area.value === "" ? undefined : area.value) };
  }
  const area = element("textarea", { id, placeholder: initial === undefined ? "JSON" : JSON.stringify(initial) });
  return { control: area, read: () => (area.value.trim() === "" ? undefined : JSON.parse(area.value)) };
}

function fileControl(id, family) {
  const accept = family === "any" ? "" : `${family}/*`;
  const pick = element("input", { id, type: "file", accept });
  const url = element("input", { type: "text", placeholder: "or a URL" });
  return {
    control: element("div", {}, pick, url),
    read: async () => (pick.files.length ? { url: await fileAsDataUrl(pick.files[0]), name: pick.files[0].name }
      : url.value.trim() || undefined),
  };
}

// The form of a whole input: fields for an object with known members, a JSON box for anything else.
function makeForm(schema) {
  const names = Object.keys(schema.properties || {});
  if (!names.length) {
    const area = element("textarea", { value: "{}", rows: 4, ariaLabel: "input as JSON" });
    return { nodes: [area], read: async () => JSON.parse(area.value) };
  }
  const required = new Set(schema.required || []);
  const fields = names.map((name) => [name, makeField(name, schema.properties[name], schema, required.has(name))]);
  return {
    nodes: fields.map(([, field]) => field.node),
    read: async () => {
      const input = {};
      for (const [name, field] of fields) {
        const value = await field.read();
        if (value !== undefined) input[name] = value;
      }
      return input;
    },
  };
}
