--- Files of a directory for net.http.server: serve { path = directory } gives a handler for a route "GET /*".
--
-- Understands conditions (RFC 9110 13) and single ranges (14). Always true: nothing outside of the directory is opened,
-- whatever path is asked for, and no link is followed (net.http.wire's open); only small files are read into memory
-- (net.http.kept).

local kept = require "prosody.net.http.kept"
local log = require "prosody.util.logger".init("http.files")
local wire = require "net.http.wire"

local assert, io_open, ipairs, pairs, tonumber, type = assert, io.open, ipairs, pairs, tonumber, type
local s_find, s_gmatch, s_lower, s_match, s_sub = string.find, string.gmatch, string.lower, string.match, string.sub

local _M = {}
local _ENV = nil

-- Enough for a web client without /etc/mime.types.
local common_types = {
	css = "text/css", gif = "image/gif", htm = "text/html", html = "text/html", ico = "image/x-icon",
	jpeg = "image/jpeg", jpg = "image/jpeg", js = "text/javascript", json = "application/json",
	map = "application/json", mjs = "text/javascript", mp3 = "audio/mpeg", mp4 = "video/mp4", ogg = "audio/ogg",
	pdf = "application/pdf", png = "image/png", svg = "image/svg+xml", txt = "text/plain", wasm = "application/wasm",
	webm = "video/webm", webmanifest = "application/manifest+json", webp = "image/webp", woff = "font/woff",
	woff2 = "font/woff2", xml = "text/xml",
}

--- Extension -> type, from a file in the form of /etc/mime.types laid over the common ones.
function _M.read_types(path)
	local types = {}
	for extension, name in pairs(common_types) do
		types[extension] = name
	end
	local file = io_open(path or "/etc/mime.types")
	if file then
		for line in file:lines() do
			local name, extensions = s_match(line, "^([^%s#]+)%s+([^#]+)")
			for extension in s_gmatch(extensions or "", "%S+") do
				types[s_lower(extension)] = name
			end
		end
		file:close()
	end
	return types
end

-- Extension -> what is said of it, with the charset that text has here.
local function with_charsets(types)
	local said = {}
	for extension, name in pairs(types) do
		local is_text = s_find(name, "^text/") or name == "image/svg+xml"
		said[extension] = is_text and name .. "; charset=utf-8" or name
	end
	return said
end

local function type_of(name, types)
	local extension = s_match(name, "%.([^./]+)$")
	return extension and (types[extension] or types[s_lower(extension)]) or "application/octet-stream"
end

local months = { Jan = 1, Feb = 2, Mar = 3, Apr = 4, May = 5, Jun = 6, Jul = 7, Aug = 8, Sep = 9, Oct = 10, Nov = 11,
	Dec = 12 }

--- Seconds of a date as HTTP writes it (RFC 9110 5.6.7); nil for anything else.
function _M.parse_date(text)
	local day, month, year, hour, min, sec = s_match(text or "",
		"^%a%a%a, (%d%d) (%a%a%a) (%d%d%d%d) (%d%d):(%d%d):(%d%d) GMT$")
	month = months[month]
	if not month then
		return nil
	end
	year, day = tonumber(year), tonumber(day)
	-- Days since 1970-01-01 by the calendar: March is the first month of the years counted here.
	local y = month <= 2 and year - 1 or year
	local days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719468
	return ((days * 24 + hour) * 60 + min) * 60 + sec | 0
end

-- Does a list of entity tags name this one? Weak comparison (RFC 9110 8.8.3.2) unless strong.
local function names_tag(list, tag, is_strong)
	if s_match(list, "^%s*%*%s*$") then
		return true
	end
	for weak, each in s_gmatch(list, "(W?/?)(\"[^\"]*\")") do
		if each == tag and not (is_strong and weak ~= "") then
			return true
		end
	end
	return false
end

-- RFC 9110 13.2.2. Gives 304 or 412, nil when the request is to be answered.
local function failed_condition(headers, tag, mtime)
	if headers.if_match then
		if not names_tag(headers.if_match, tag, true) then
			return 412
		end
	elseif headers.if_unmodified_since then
		local time = _M.parse_date(headers.if_unmodified_since)
		if time and mtime > time then
			return 412
		end
	end
	if headers.if_none_match then
		return names_tag(headers.if_none_match, tag) and 304 or nil
	end
	local time = headers.if_modified_since and _M.parse_date(headers.if_modified_since)
	return time and mtime <= time and 304 or nil
end

-- RFC 9110 14.2. Gives offset and count; false when the range lies outside, nil when there is none we understand (then
-- the whole file is the answer).
local function wanted_range(headers, tag, mtime, size)
	local range = headers.range
	if not range then
		return nil
	end
	local condition = headers.if_range
	if condition and condition ~= tag and _M.parse_date(condition) ~= mtime then
		return nil
	end
	local first, last = s_match(range, "^bytes=%s*(%d*)-(%d*)%s*$")
	if not first or first == "" and last == "" or #first > 15 or #last > 15 then
		return nil
	end
	if first == "" then -- the last so many bytes
		local count = tonumber(last)
		if count == 0 then
			return false
		end
		count = count < size and count or size
		return size - count, count
	end
	first, last = tonumber(first), tonumber(last) or size - 1
	if first > last and s_match(range, "%-%d") then
		return nil
	elseif first >= size then
		return false
	end
	last = last < size and last or size - 1
	return first, last - first + 1
end

local function close(file)
	if file then
		file:close()
	end
end

--- Answers with a file that wire.open gave (taken), or with facts.text: conditions and ranges are understood, headers
-- that the response has already stay, content_type is one of them or this one. True, or a status.
local function send(event, file, facts, content_type)
	local request, response = event.request, event.response
	local tag, text = facts.etag, facts.text
	if not tag then -- kept ones are asked for again
		tag = "\"" .. facts.tag .. "\""
		facts.etag, facts.last_modified = tag, wire.date(facts.mtime)
	end
	local headers = {
		etag = tag, last_modified = facts.last_modified, accept_ranges = "bytes",
		content_type = content_type, x_content_type_options = "nosniff",
	}
	for header, value in pairs(response.headers) do -- what a module has said before stays
		headers[header] = value
	end
	response.headers = headers
	local status = failed_condition(request.headers, tag, facts.mtime)
	if status then
		close(file)
		return status
	end
	local offset, count
	if request.method == "GET" then
		offset, count = wanted_range(request.headers, tag, facts.mtime, facts.size)
	end
	if offset == false then
		close(file)
		headers.content_range = "bytes */" .. facts.size
		return 416
	elseif offset then
		response.status_code = 206
		headers.content_range = ("bytes %d-%d/%d"):format(offset, offset + count - 1, facts.size)
	end
	if text then
		response:send(offset and s_sub(text, offset + 1, offset + count) or text)
	else
		response:send_file(file, offset or 0, count or facts.size)
	end
	return true
end
_M.send = send

-- Of what open gave: facts of a file, and not of a directory or why there is none?
local function is_file(facts)
	return type(facts) == "table" and facts.kind == "file"
end

local function failure(path, why)
	if why == "not-found" then
		return 404
	elseif why == "refused" then
		return 403
	end
	log("error", "%s cannot be read: %s", path, why)
	return 500
end

local function redirect_to_directory(event)
	local target = event.request.target
	local path, query = s_match(target, "^([^?]*)(.*)$")
	-- "//host/" would lead away from here
	event.response.headers.location = "/" .. s_match(path, "^/*(.*)$") .. "/" .. query
	return 301
end

-- Of a file that a folder has: its type, looked up once as long as the file is kept.
local function send_typed(event, file, facts, path, types)
	facts.type = facts.type or type_of(path, types)
	return send(event, file, facts, facts.type)
end

local function send_index(event, open, path, index_files, types)
	for _, name in ipairs(index_files) do
		local file, facts = open(path .. name)
		if is_file(facts) then
			return send_typed(event, file, facts, name, types)
		end
		close(file)
	end
	return 403
end

-- RFC 9110 12.5.3: is gzip among the codings the client takes?
local function takes_gzip(accept)
	for coding, parameters in s_gmatch(s_lower(accept or ""), "([^%s,;]+)([^,]*)") do
		if coding == "gzip" or coding == "x-gzip" then
			local quality = s_match(parameters, "q%s*=%s*([%d.]+)")
			return not quality or tonumber(quality) ~= 0
		end
	end
	return false
end

-- "x.js.gz" in the place of "x.js", for those who take it so (RFC 9110 8.4). The type is that of what is inside.
local function open_precompressed(event, open, path)
	local request, response = event.request, event.response
	response.headers.vary = "Accept-Encoding"
	if takes_gzip(request.headers.accept_encoding) then
		local file, facts = open(path .. ".gz")
		if is_file(facts) then
			response.headers.content_encoding = "gzip"
			return file, facts
		end
		close(file)
	end
	return open(path)
end

--- A handler for files below options.path (or options itself, a path). options: index_files (those of a directory, none
-- when directory_index is false), mime_map (extension -> type), precompressed (true: NAME.gz beside NAME is sent to
-- those who take it). Without a wildcard in its route it serves options.path itself.
function _M.serve(options)
	if type(options) ~= "table" then
		options = { path = options }
	end
	local root = assert(options.path, "net.http.files.serve needs a path")
	local types = with_charsets(options.mime_map or common_types)
	local index_files = options.directory_index == false and {} or options.index_files or { "index.html", "index.htm" }
	local directory, name = s_match(root, "^(.*)/([^/]+)$")
	local open = kept.new(root)
	local open_own = kept.new(directory == "" and "/" or directory or ".")
	return function (event, path)
		local file, facts
		if path == nil then
			path = name or root
			file, facts = open_own(path)
		else
			if s_sub(path, 1, 1) == "/" then
				path = s_sub(path, 2)
			end
			if #path > 4096 then
				return 414
			elseif options.precompressed then
				file, facts = open_precompressed(event, open, path)
			else
				file, facts = open(path)
			end
		end
		if is_file(facts) then
			return send_typed(event, file, facts, path, types)
		elseif not file then
			return failure(root .. "/" .. path, facts)
		end
		file:close()
		if path ~= "" and s_sub(path, -1) ~= "/" then
			return redirect_to_directory(event)
		end
		return send_index(event, open, path, index_files, types)
	end
end

return _M
