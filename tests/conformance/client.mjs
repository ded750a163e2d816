// Uses the published `runpod-sdk` against a plane: node client.mjs MODULE BASE_URL KEY. Prints one JSON object.
const [modulePath, baseUrl, key] = process.argv.slice(2);
console.log = () => {}; // the SDK reports its polling there
const { default: runpodSdk } = await import(modulePath);
const sdk = runpodSdk(key, { baseUrl });
const echo = sdk.endpoint("echo");
const idle = sdk.endpoint("idle");
const found = {};

async function until(ask, wanted) {
  for (const end = Date.now() + 20000; ;) {
    const answer = await ask();
    if (wanted(answer)) return answer;
    if (Date.now() > end) throw new Error(`Still ${JSON.stringify(answer)}`);
  }
}

found.runSync = await echo.runSync({ input: { text: "hällo" } }, 20000);
found.failed = await echo.runSync({ input: { fail: "so" } }, 20000);

const { id, status } = await echo.run({ input: { n: 1 }, policy: { ttl: 60000 } });
found.run = { status };
found.status = await until(() => echo.status(id), (job) => job.completed);
found.statusSync = await echo.statusSync(id, 20000);

const stream = sdk.endpoint("stream");
const streamed = await stream.run({ input: { chunks: ["a", { b: 2 }, null] } });
found.stream = [];
for await (const chunk of stream.stream(streamed.id)) found.stream.push(chunk.output);

await idle.purgeQueue();
const waiting = await idle.run({ input: 1 });
found.queued = await idle.status(waiting.id);
found.cancel = await idle.cancel(waiting.id);
await idle.run({ input: 2 });
found.health = await idle.health();
found.purgeQueue = await idle.purgeQueue();
// Nobody takes the job: after the first wait the SDK goes on by /status-sync until its own time is over.
found.unfinished = await idle.runSync({ input: 3 }, 1500);

async function refusal(work) {
  try { await work(); return null; } catch (error) { return error.response?.status ?? String(error); }
}
found.unauthorized = await refusal(() => runpodSdk("wrong", { baseUrl }).endpoint("echo").health());
found.missing = await refusal(() => echo.status("none"));
process.stdout.write(JSON.stringify(found));
