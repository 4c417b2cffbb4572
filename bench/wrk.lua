-- wrk's side of load.py. Arguments: a file with a request a line (method, path, body; separated by tabs), the token,
-- and what makes the mails of this run differ from those of every other: it stands, with a number, for UNIQUE.
local ready, n = {}, 0

function init(args)
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  for line in io.lines(args[1]) do
    local method, path, body = line:match("(.-)\t(.-)\t(.*)")
    if body == "" then
      ready[#ready + 1] = wrk.format(method, path)
    else
      local parts = {}
      for part in (body .. "UNIQUE"):gmatch("(.-)UNIQUE") do parts[#parts + 1] = part end
      ready[#ready + 1] = { method, path, parts }
    end
  end
  wrk.headers["Content-Type"] = "application/json"
  request = function()
    n = n + 1
    local one = ready[n % #ready + 1]
    return type(one) == "string" and one or wrk.format(one[1], one[2], nil, table.concat(one[3], args[3] .. "-" .. n))
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format('\nRESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status + e.connect + e.read + e.write + e.timeout))
end
