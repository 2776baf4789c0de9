--- Which of the words there are may have been meant by one that is not there?

local ipairs, math_max, math_min = ipairs, math.max, math.min

local _M = {}
local _ENV = nil

--- How many slips of the hand lie between two words: a letter wrong, missing or too many, or two neighbours swapped.
-- Words are text of bytes.
function _M.distance(a, b)
	local before_last, last = {}, {} -- rows of the table: slips between the first i - 2 (i - 1) bytes of a and j of b
	for j = 0, #b do
		last[j] = j
	end
	for i = 1, #a do
		local row = { [0] = i }
		for j = 1, #b do
			local is_same = a:byte(i) == b:byte(j)
			row[j] = math_min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (is_same and 0 or 1))
			if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
				row[j] = math_min(row[j], before_last[j - 2] + 1)
			end
		end
		before_last, last = last, row
	end
	return last[#b]
end

--- The word of a list that is most like the one given, whatever its case: at most one slip in four letters (one in a
-- shorter word). nil when none is. Of two that are as near, the first of the list.
function _M.nearest(word, list)
	local wanted, nearest, least = word:lower(), nil, math_max(1, #word // 4) + 1
	for _, other in ipairs(list) do
		if math_max(#other, #word) - math_min(#other, #word) < least then
			local distance = _M.distance(wanted, other:lower())
			if distance < least then
				nearest, least = other, distance
			end
		end
	end
	return nearest
end

return _M
