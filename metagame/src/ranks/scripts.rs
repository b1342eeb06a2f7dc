//! What Redis does with ranks, as scripts: each runs there as one step.
//!
//! Keys of a season: `…:h`, a hash from player to version (16 digits), member (24 bytes) and region (digits, `-` for an entry that
//! was taken off); `…:z:N`, a sorted set of members for each region, 0 for all. A member is the time since which the score stands, as
//! 8 bytes in big order, and the player's id, so that equals come in the order of [`Place`](crate::core::ranking::Place). Keys of all
//! seasons: `state` with the epoch of what is here and the position up to which the table was followed; `ready`, by season the epoch in
//! which it was read whole, or `building`.

/// KEYS ready, hash; ARGV field in ready, prefix of sorted sets, then per row player, version, member, sort, region.
/// Takes in the rows of a season that is here or being built.
pub(super) const APPLY: &str = r"
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
local hash, sets, applied = KEYS[2], ARGV[2], 0
for i = 3, #ARGV, 5 do
    local player, version, member, sort, region = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
    local held = redis.call('HGET', hash, player)
    if not held or tonumber(string.sub(held, 1, 16)) < tonumber(version) then
        if held then
            local was, there = string.sub(held, 17, 40), string.sub(held, 41)
            if there ~= '-' then
                redis.call('ZREM', sets .. '0', was)
                if there ~= '0' then redis.call('ZREM', sets .. there, was) end
            end
        end
        redis.call('HSET', hash, player, version .. member .. region)
        if region ~= '-' then
            redis.call('ZADD', sets .. '0', sort, member)
            if region ~= '0' then redis.call('ZADD', sets .. region, sort, member) end
        end
        applied = applied + 1
    end
end
return applied
";

/// KEYS state, ready, hash, sorted set; ARGV field in ready, limit, then `at` position, `after` sort member, or `around` player
/// how many before. Answers `{-1}` where the season is not here, `{-2}` where the player is not on it, else total, position of the
/// first, how many are better than the first, and per entry member, sort and region.
pub(super) const PAGE: &str = r"
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch or redis.call('HGET', KEYS[2], ARGV[1]) ~= epoch then return {-1} end
local hash, set, limit = KEYS[3], KEYS[4], tonumber(ARGV[2])
local function not_behind(a, b)
    for i = 1, 24 do
        local x, y = string.byte(a, i), string.byte(b, i)
        if x ~= y then return x < y end
    end
    return true
end
local from = 0
if ARGV[3] == 'at' then
    from = tonumber(ARGV[4])
elseif ARGV[3] == 'around' then
    local held = redis.call('HGET', hash, ARGV[4])
    local rank = held and redis.call('ZRANK', set, string.sub(held, 17, 40))
    if not rank then return {-2} end
    from = math.max(0, rank - tonumber(ARGV[5]))
else
    local low = redis.call('ZCOUNT', set, '-inf', '(' .. ARGV[4])
    local high = low + redis.call('ZCOUNT', set, ARGV[4], ARGV[4])
    while low < high do
        local middle = math.floor((low + high) / 2)
        if not_behind(redis.call('ZRANGE', set, middle, middle)[1], ARGV[5]) then low = middle + 1 else high = middle end
    end
    from = low
end
local found = redis.call('ZRANGE', set, from, from + limit - 1, 'WITHSCORES')
local better = 0
if #found > 0 then better = redis.call('ZCOUNT', set, '-inf', '(' .. found[2]) end
local answer = {redis.call('ZCARD', set), from, better}
local players = {}
for i = 1, #found, 2 do players[#players + 1] = string.sub(found[i], 9, 24) end
local held = #players > 0 and redis.call('HMGET', hash, unpack(players)) or {}
for i = 1, #players do
    answer[#answer + 1] = found[2 * i - 1]
    answer[#answer + 1] = found[2 * i]
    answer[#answer + 1] = held[i] and string.sub(held[i], 41) or '0'
end
return answer
";

/// KEYS lease; ARGV who, milliseconds. Whether it is this one's for so long.
pub(super) const LEASE: &str = r"
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
";

/// KEYS state; ARGV epoch, position. Moves the position of this epoch.
pub(super) const ADVANCE: &str = r"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'position', ARGV[2])
return 1
";

/// KEYS state, ready; ARGV field, epoch. Declares a season whole, if it was built in this epoch.
pub(super) const READY: &str = r"
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[2] or redis.call('HEXISTS', KEYS[2], ARGV[1]) == 0 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
";
