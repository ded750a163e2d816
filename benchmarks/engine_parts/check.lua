-- Sends one JSON body again and again and looks at every answer: anything but 200 with the right number counts as wrong.
local wrong = 0
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrk.method = "POST"
  wrk.body = '{"input":{"n":1,"text":"hello"}}'
  wrk.headers["content-type"] = "application/json"
  if os.getenv("BENCH_KEY") then
    wrk.headers["authorization"] = "Bearer " .. os.getenv("BENCH_KEY")
  end
  wrong_answers = 0
  right_answers = 0
end

function response(status, headers, body)
  if status == 200 and string.find(body, '"n": ?2[,}]') then
    right_answers = right_answers + 1
  else
    wrong_answers = wrong_answers + 1
  end
end

function done(summary, latency, requests)
  local right = 0
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("wrong_answers")
    right = right + thread:get("right_answers")
  end
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('\n{"right":%d,"wrong":%d,"errors":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f}\n',
    right, wrong, errors, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
