"""What runs on the Redis server: reading, and writing only what nothing has invalidated meanwhile.

An entry is a hash: ``v`` the payload, ``s`` the writer's stamp, ``c`` the cache's generation, ``t:<tag>`` that tag's
version when it was written. It is good as long as the generation and versions are still those. Invalidating a key
deletes the entry and moves the key's own generation, which outlives any load; a tag or the whole cache is one
counter. A token is all of these as a reader found them; a write with a token that is no longer true is dropped.

KEYS: entry, cache generation, key generation. ARGV[1] is the prefix of tag versions throughout.
"""

_FUNCTIONS = """
local function version(key) return redis.call('GET', key) or '0' end
local function token(first)
  local parts = {version(KEYS[2]), version(KEYS[3])}
  for i = first, #ARGV do parts[#parts + 1] = version(ARGV[1] .. ARGV[i]) end
  return table.concat(parts, ':')
end
"""

# ARGV: prefix, milliseconds that an entry may have left (0: any), then the tags of the load. Returns payload ('': the
# entry is not one of ours; nil: there is none), milliseconds left (-1: for ever), token, tags. An entry that would
# live longer than its readers allow was not written by one of them: it lives that long from now.
READ = (
    _FUNCTIONS
    + """
local now, longest = token(3), tonumber(ARGV[2])
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {false, -2, now, {}} end
if kind ~= 'hash' then return {'', -2, now, {}} end
local fields = redis.call('HGETALL', KEYS[1])
local payload, generation, tags = '', false, {}
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'v' then payload = value
  elseif name == 'c' then generation = value
  elseif string.sub(name, 1, 2) == 't:' then
    local tag = string.sub(name, 3)
    if version(ARGV[1] .. tag) ~= value then return {false, -2, now, {}} end
    tags[#tags + 1] = tag
  end
end
if generation ~= version(KEYS[2]) then return {false, -2, now, {}} end
local left = redis.call('PTTL', KEYS[1])
if longest > 0 and (left < 0 or left > longest) then
  redis.call('PEXPIRE', KEYS[1], longest)
  left = longest
end
return {payload, left, now, tags}
"""
)

# ARGV: prefix, payload, stamp, milliseconds to live (0: for ever), token ('': whatever happened), channel,
# message ('': none), then the tags. Returns 1 when written.
WRITE = (
    _FUNCTIONS
    + """
if ARGV[5] == '' then
  redis.call('INCR', KEYS[3])
  redis.call('PEXPIRE', KEYS[3], 3600000)
elseif ARGV[5] ~= token(8) then
  return 0
end
redis.call('DEL', KEYS[1])
local fields = {'v', ARGV[2], 's', ARGV[3], 'c', version(KEYS[2])}
for i = 8, #ARGV do
  fields[#fields + 1] = 't:' .. ARGV[i]
  fields[#fields + 1] = version(ARGV[1] .. ARGV[i])
end
redis.call('HSET', KEYS[1], unpack(fields))
if ARGV[4] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
if ARGV[7] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 1
"""
)

# ARGV: prefix, channel, message ('': none). Returns how many entries there were.
INVALIDATE = """
redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], 3600000)
if ARGV[3] ~= '' then redis.call('PUBLISH', ARGV[2], ARGV[3]) end
return redis.call('DEL', KEYS[1])
"""
