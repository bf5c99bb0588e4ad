-- The requests of one wrk run, each a new command under a key of its own.
--
--   wrk … -s load.lua URL -- deposits|transfers|touch|reads|mixed|bulk-N|atomic-N WALLETS SEED \
--     keys|no-keys [RATE]
--
--   deposits   of 1.00, each to one of the wallets by chance
--   transfers  of 0.01, each between two wallets by chance
--   bulk-N     N such transfers in one request, each by itself
--   atomic-N   the same, all or none
--   touch      deposits of 1.00 to every wallet by turns
--   reads      no commands at all: each asks for one of the wallets by chance
--   mixed      of a hundred requests 30 deposits of 1.00, 20 withdrawals of 0.01, 20 transfers, and
--              reads: 15 wallets, 10 first pages of a history, 5 stats
--
-- With a rate, so many requests a second are due at equal distances, each as soon as a connection
-- is free; those that are late are sent then and not dropped. Without one, a connection sends its
-- next request when the last is answered.
--
-- Keys are as random as the UUIDs that clients send: they reach every page of the index of keys.
-- The last line printed is the result as JSON; times are in microseconds. There is no `response`
-- function on purpose: with one, wrk would copy every answer into Lua.
local bit = require("bit")
local ffi = require("ffi")
local random, tohex = math.random, bit.tohex

local next_wallet = 0
local wallets, has_keys, rest_of_head, rest_of_get, size

local function word()
  return tohex(random(0, 0xffffffff))
end

local function key()
  if not has_keys then return "" end
  local a, b = word(), word()
  return ',"requestId":"' .. word() .. "-" .. a:sub(1, 4) .. "-4" .. a:sub(6) .. "-a" ..
    b:sub(2, 4) .. "-" .. b:sub(5) .. word() .. '"'
end

local function id(number)
  return string.format("wallet-%07d", number)
end

local function post(wallet, verb, body)
  return "POST /wallets/" .. wallet .. verb .. rest_of_head .. #body .. "\r\n\r\n" .. body
end

local function deposit(number)
  return post(id(number), "/deposit", '{"amount":"1.00","currency":"USD"' .. key() .. "}")
end

local function get(rest)
  return "GET /wallets/" .. id(random(1, wallets)) .. rest .. rest_of_get
end

local function two()
  local from, to = random(1, wallets), random(1, wallets - 1)
  if to >= from then to = to + 1 end
  return from, to
end

local function bulk(frame, key_of_each)
  local commands = {}
  for number = 1, size do
    local from, to = two()
    commands[number] = '{"type":"transfer","walletId":"' .. id(from) .. '","toWalletId":"' ..
      id(to) .. '","amount":"0.01","currency":"USD"' .. key_of_each() .. "}"
  end
  local body = "{" .. frame .. '"commands":[' .. table.concat(commands, ",") .. "]}"
  return "POST /bulk" .. rest_of_head .. #body .. "\r\n\r\n" .. body
end

local function withdrawal()
  local body = '{"amount":"0.01","currency":"USD"' .. key() .. "}"
  return post(id(random(1, wallets)), "/withdraw", body)
end

local requests
requests = {
  deposits = function() return deposit(random(1, wallets)) end,
  touch = function()
    next_wallet = next_wallet % wallets + 1
    return deposit(next_wallet)
  end,
  transfers = function()
    local from, to = two()
    local body = '{"toWalletId":"' .. id(to) .. '","amount":"0.01","currency":"USD"' .. key() .. "}"
    return post(id(from), "/transfer", body)
  end,
  bulk = function() return bulk("", key) end,
  atomic = function()
    return bulk('"atomic":true' .. key() .. ",", function() return "" end)
  end,
  reads = function() return get("") end,
  mixed = function()
    local dice = random(1, 100)
    if dice <= 30 then return requests.deposits() end
    if dice <= 50 then return withdrawal() end
    if dice <= 70 then return requests.transfers() end
    if dice <= 85 then return get("") end
    if dice <= 95 then return get("/history") end
    return get("/stats")
  end,
}

ffi.cdef("typedef struct { long s, ns; } moment; int clock_gettime(int clock, moment *at);")
local CLOCK_MONOTONIC = 1
local moment = ffi.new("moment")

local function milliseconds()
  ffi.C.clock_gettime(CLOCK_MONOTONIC, moment)
  return tonumber(moment.s) * 1e3 + tonumber(moment.ns) / 1e6
end

-- What wrk asks before each request: in how many milliseconds to send it.
local function pace(rate)
  local due
  return function()
    local now = milliseconds()
    due = (due or now) + 1e3 / rate
    return math.max(0, due - now)
  end
end

function init(args)
  wallets, has_keys = tonumber(args[2]), args[4] == "keys"
  math.randomseed(tonumber(args[3]))
  rest_of_head = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] ..
    "\r\nContent-Type: application/json\r\nContent-Length: "
  rest_of_get = " HTTP/1.1\r\nHost: " .. wrk.headers["Host"] .. "\r\n\r\n"
  local mode, count = args[1]:match("^(%a+)-?(%d*)$")
  size = tonumber(count)
  request = assert(requests[mode], "no such load")
  if args[5] then delay = pace(tonumber(args[5])) end
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,' ..
      '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
