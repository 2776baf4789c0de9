--- What the server remembers of its last attempt to talk with a domain, step by step: for the admin who asks why it
-- does not work. One story per pair and direction, the oldest forgotten first, each of a bounded length.

local cache = require "prosody.util.cache"
local datetime = require "prosody.util.datetime"
local time = require "prosody.util.time"

local MAX_STORIES, MAX_LINES, MAX_LINE = 500, 60, 300

local stories = cache.new(MAX_STORIES)

local story = {}
local story_mt = { __index = story }

--- Begins anew. direction: "to" or "from" the domain.
local function begin(ours, direction, theirs)
	local new = setmetatable({ ours = ours, theirs = theirs, direction = direction, began = time.now(), lines = {} },
		story_mt)
	stories:set(direction .. " " .. ours .. " " .. theirs, new)
	return new
end

--- Adds a step.
function story:note(text, ...)
	text = text:format(...):sub(1, MAX_LINE)
	if #self.lines < MAX_LINES then
		table.insert(self.lines, ("%5.1f s  %s"):format(time.now() - self.began, text))
	end
end

--- The stories of a domain, as lines of text; nil when there is none.
local function tell(domain)
	local lines = {}
	for _, one in stories:items() do
		if one.theirs == domain then
			table.insert(lines, ("%s, %s %s %s:"):format(datetime.datetime(one.began), one.ours, one.direction, one.theirs))
			for _, line in ipairs(one.lines) do table.insert(lines, "  " .. line) end
		end
	end
	return lines[1] and lines or nil
end

return { begin = begin, tell = tell }
