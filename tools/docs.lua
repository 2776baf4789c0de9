--- Builds docs/modules/ from the headers of modules, and checks that they are complete.
--
--   lua5.4 tools/docs.lua FOLDER            writes FOLDER/mod_x.md and FOLDER/index.md
--   lua5.4 tools/docs.lua --check FOLDER    writes nothing, but says which of them are not what would be written
--
-- A header is the comment a module's file begins with:
--   --- Title (XEP-0000): one sentence.
--   -- Further text.
--   -- @option name  kind, default: what it does
--   -- @hooks  iq-get/host, ...      @fires none      @stores none      (each may also have a line of its own)
--   -- @spec   spec/modules/mod_x_spec.lua
-- Every option that the code reads with module:get_option...("name") must be there, and every option named there must
-- be mentioned by the code (whole, or from an underscore on: "_ssl" for c2s_ssl). Both fail. So does an option that the
-- server itself reads with config.get(..., "name") and that docs/configuration.md does not name.

local lfs = require "lfs"

local problems = {}
local function problem(path, ...)
	problems[#problems + 1] = path .. ": " .. string.format(...)
end

local function read(path)
	local file <close> = assert(io.open(path))
	return file:read "a"
end

--- All modules: { name =, path =, parts = { path, ... } }, sorted.
local function find_modules(folder)
	local found = {}
	for entry in lfs.dir(folder) do
		local name = entry:match "^(mod_[%w_]+)%.lua$"
		if name then
			found[#found + 1] = { name = name, path = folder .. "/" .. entry, parts = {} }
		elseif entry:find "^mod_[%w_]+$" then
			local module = { name = entry, path = ("%s/%s/%s.lua"):format(folder, entry, entry), parts = {} }
			for part in lfs.dir(folder .. "/" .. entry) do
				if part:find "%.lib%.lua$" then
					table.insert(module.parts, ("%s/%s/%s"):format(folder, entry, part))
				end
			end
			table.sort(module.parts)
			if lfs.attributes(module.path) then found[#found + 1] = module end
		end
	end
	table.sort(found, function(a, b) return a.name < b.name end)
	return found
end

--- The header's parts: title, text (list of lines), options (list of { name, text }), tags (by name).
local function parse_header(path, source)
	local header = { text = {}, options = {}, tags = {} }
	local lines = {}
	for line in (source .. "\n"):gmatch "(.-)\n" do
		local comment = line:match "^%-%-%-? ?(.*)$"
		if not comment then break end
		lines[#lines + 1] = comment
	end
	header.title = table.remove(lines, 1)
	if not header.title or not source:find "^%-%-%- " then
		problem(path, "begins without a header (--- Title: what it does)")
		header.title = header.title or "?"
	end
	local into
	for _, line in ipairs(lines) do
		local option, text = line:match "^@option%s+([%w_/{}<>%*%-]+)%s*(.*)$"
		if option then
			into = { name = option, text = text }
			table.insert(header.options, into)
		elseif line:find "^@%w+" then
			into = nil
			-- Several tags may share a line.
			for tag, value in line:gmatch "@(%w+)%s*([^@]*)" do
				header.tags[tag] = ((header.tags[tag] and header.tags[tag] .. " " or "") .. value):gsub("%s+$", "")
				into = { tag = tag }
			end
		elseif into and line:find "^%s" and line:find "%S" then
			local more = " " .. line:match "^%s*(.-)%s*$"
			if into.tag then
				header.tags[into.tag] = header.tags[into.tag] .. more
			else
				into.text = into.text .. more
			end
		else
			into = nil
			table.insert(header.text, line)
		end
	end
	return header
end

--- Names of options the code reads.
local function options_read(source)
	local names = {}
	local code = source:gsub("%-%-[^\n]*", "")
	for _, name in code:gmatch 'module:get_option[%w_]*%s*%(?%s*(["\'])([%w_/%-]+)%1' do names[name] = true end
	return names
end

local function check(module)
	local source = read(module.path)
	local header = parse_header(module.path, source)
	module.header = header
	local has = {}
	for _, option in ipairs(header.options) do
		has[option.name] = true
		if option.text == "" and option.name ~= "none" then problem(module.path, "@option %s says nothing", option.name) end
	end
	local all = source
	for _, part in ipairs(module.parts) do all = all .. "\n" .. read(part) end
	local reads = options_read(all)
	for name in pairs(reads) do
		if not has[name] then problem(module.path, "reads the option %s, which its header does not tell", name) end
	end
	for name in pairs(has) do
		local known = reads[name] or name == "none" or not name:find "^[%w_]+$"
		for at in ("_" .. name):gmatch "()_" do
			known = known or all:find(('"%s"'):format(("_" .. name):sub(at)), 1, true)
				or all:find(('"%s"'):format(name:sub(at)), 1, true)
		end
		if not known then problem(module.path, "tells of an option %s that the code never mentions", name) end
	end
	for _, tag in ipairs { "hooks", "fires", "stores", "spec" } do
		if not header.tags[tag] then problem(module.path, "has no @%s", tag) end
	end
	for path in (header.tags.spec or ""):gmatch "spec/[%w_/%.]+" do
		if not lfs.attributes(path) then problem(module.path, "names a spec that is not there: %s", path) end
	end
end

local function page(module)
	local header = module.header
	local out = { "# " .. module.name, "", header.title, "" }
	for _, line in ipairs(header.text) do out[#out + 1] = line end
	if #header.options > 0 then
		out[#out + 1] = "\n## Options\n"
		for _, option in ipairs(header.options) do
			out[#out + 1] = ("- `%s`: %s"):format(option.name, option.text)
		end
	end
	out[#out + 1] = "\n## Inside\n"
	for _, tag in ipairs { "hooks", "fires", "stores", "spec" } do
		out[#out + 1] = ("- %s: %s"):format(tag, header.tags[tag] or "?")
	end
	return (table.concat(out, "\n"):gsub("\n\n\n+", "\n\n")) .. "\n"
end

local function write(path, text)
	local file <close> = assert(io.open(path, "w"))
	assert(file:write(text))
end

--- What belongs into the folder: name of file -> text.
local function pages_of(modules)
	local pages = {}
	local index = { "# Modules", "", "Written by `make docs` from the headers of the modules; edit those.", "" }
	for _, module in ipairs(modules) do
		pages[module.name .. ".md"] = page(module)
		index[#index + 1] = ("- [%s](%s.md): %s"):format(module.name, module.name, module.header.title)
	end
	pages["index.md"] = table.concat(index, "\n") .. "\n"
	return pages
end

--- Pages of modules that are gone: names of files.
local function strangers(folder, pages)
	local found = {}
	for name in lfs.dir(folder) do
		if name:find "%.md$" and not pages[name] then found[#found + 1] = name end
	end
	return found
end

-- What the server itself reads is in docs/configuration.md. component_module is the second word of a Component line.
local function check_server_options(folder, document)
	local known = { component_module = true }
	for name in read(document):gmatch "`([%w_]+)`" do known[name] = true end
	local function look(path)
		for name in read(path):gmatch "config%.r?a?w?get%([^()]-\"([%w_]+)\"%)" do
			if not known[name] and name:sub(1, 1) ~= "_" then
				known[name] = true
				problem(path, "reads the option %s, which %s does not name", name, document)
			end
		end
	end
	for entry in lfs.dir(folder) do
		local path = folder .. "/" .. entry
		if entry:find "%.lua$" then
			look(path)
		elseif entry:sub(1, 1) ~= "." and lfs.attributes(path, "mode") == "directory" then
			check_server_options(path, document)
		end
	end
end

local is_check = arg[1] == "--check"
local target = is_check and arg[2] or arg[1]
if not target or target == "--check" then
	io.stderr:write "usage: lua5.4 tools/docs.lua [--check] FOLDER\n"
	os.exit(2)
end

local modules = find_modules "modules"
if lfs.attributes "plugins" then
	for _, module in ipairs(find_modules "plugins") do check(module) end
end
for _, module in ipairs(modules) do check(module) end
for _, folder in ipairs { "modules/core", "modules/net", "modules/util" } do
	check_server_options(folder, "docs/configuration.md")
end

lfs.mkdir(target)
local pages = pages_of(modules)
for name, text in pairs(pages) do
	local path = target .. "/" .. name
	if not is_check then
		write(path, text)
	elseif not lfs.attributes(path) or read(path) ~= text then
		problem(path, "is not what the module's header says; run make docs")
	end
end
for _, name in ipairs(strangers(target, pages)) do
	local path = target .. "/" .. name
	if is_check then problem(path, "is about a module that is not there; run make docs") else os.remove(path) end
end

table.sort(problems)
for _, text in ipairs(problems) do print(text) end
os.exit(#problems == 0 and 0 or 1)
