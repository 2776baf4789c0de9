--- Settings of Lua's garbage collector.
-- Always true: settings are checked as a whole before any of them is used.
local collectgarbage, pairs, type = collectgarbage, pairs, type

local _ENV = nil

local known = {
	mode = "string",
	-- incremental: how long to wait, how much to do, how large a step is
	threshold = "number", speed = "number", step_size = "number",
	-- generational
	minor_threshold = "number", major_threshold = "number",
}

--- configure(settings, defaults): true, or nil and an error. mode: "incremental" or "generational".
local function configure(settings, defaults)
	local wanted = {}
	for name, value in pairs(defaults or {}) do
		wanted[name] = value
	end
	for name, value in pairs(settings or {}) do
		wanted[name] = value
	end
	for name, value in pairs(wanted) do
		if known[name] == nil then
			return nil, "unknown garbage collector option: " .. name
		elseif type(value) ~= known[name] then
			return nil, "garbage collector option " .. name .. " must be a " .. known[name]
		end
	end
	local mode = wanted.mode or "incremental"
	if mode == "incremental" then
		collectgarbage("incremental", wanted.threshold or 0, wanted.speed or 0, wanted.step_size or 0)
	elseif mode == "generational" then
		collectgarbage("generational", wanted.minor_threshold or 0, wanted.major_threshold or 0)
	else
		return nil, "unknown garbage collector mode: " .. mode
	end
	return true
end

return { configure = configure }
