--- The HTTP side: a file is put where its slot is, and got from there.
--
-- Always true: nothing of a file is in memory but the piece that has just come. Nothing that was uploaded can act in a
-- browser in the name of this site: it is shown only when its type is on the list, without scripts, else saved.

local codes = require "prosody.net.http.codes"
local http_files = require "prosody.net.http.files"
local incoming = require "util.incoming"
local jid = require "prosody.util.jid"
local units = require "prosody.util.human.units"
local wire = require "net.http.wire"

local LARGE_BYTES = 8 * 1024 * 1024 -- of these an admin sees each quarter come
local CACHE_SECONDS = 86400
local SLOT_BYTES = 64 -- no slot has a longer name

local function size_text(bytes)
	return units.format(bytes, "B", "b")
end

-- parts: uploads (uploads.lib.lua), verify(token) -> true, claims; is_safe(type); plain_type(text).
return function (parts)
	local uploads = parts.uploads
	local measure_upload = module:measure("upload", "sizes", { buckets = { 1e4, 1e5, 1e6, 1e7, 1e8 } })
	local measure_download = module:measure("download", "rate")

	-- "SLOT/FILENAME"
	local function split(path)
		return path:match "^/?([%w_-]+)/([^/]+)$"
	end

	-- Hosts that are reached by one name (http_host) have their files side by side: what is not ours may be another's.
	local all = module:shared "/*/http_file_share/uploads" -- host -> uploads
	all[module.host] = uploads

	local function is_of_another(path)
		local slot = split(path)
		if not slot or #slot > SLOT_BYTES or uploads.get(slot) then return false end
		for host, others in pairs(all) do
			if host ~= module.host and others.get(slot) then return true end
		end
		return false
	end

	-- Uploads

	local function refuse(event, status, why)
		module:log("debug", "An upload to %s is refused with %d: %s", event.request.path, status, why)
		event.response.headers.content_type = "text/plain; charset=utf-8"
		return { status_code = status, body = ("%s\n%s\n"):format(codes[status], why) }
	end

	-- What the token says, when it is for this path; else nil, status and why.
	local function permission(request, path)
		local token = (request.headers.authorization or ""):match "^[Bb][Ee][Aa][Rr][Ee][Rr] +(%S+)$"
		if not token then return nil, 401, "There is no token" end
		local ok, claims = parts.verify(token)
		if not ok then return nil, 403, "The token is not valid: " .. tostring(claims) end
		local slot, filename = split(path)
		if not slot or claims.slot ~= slot or claims.filename ~= filename then
			return nil, 403, "The token is for another file"
		end
		return claims
	end

	-- XEP-0363 7: exactly as many bytes as were announced, and of that type.
	local function check_head(request, claims)
		local length, filetype = request.content_length, request.headers.content_type
		if not length then
			return 411, "The length must be said ahead"
		elseif length ~= claims.filesize then
			return length > claims.filesize and 413 or 400, ("The file must have %d bytes"):format(claims.filesize)
		elseif filetype and claims.filetype and parts.plain_type(filetype) ~= claims.filetype then
			return 415, "The type must be " .. claims.filetype
		end
	end

	local failures = {
		exists = { 409, "The slot was used already" }, full = { 507, "The disk is full" },
		failed = { 500, "It cannot be stored" },
	}

	local function failed(event, slot, why, text)
		if why ~= "exists" then module:log("error", "Upload %s cannot be stored: %s", slot, text) end
		return refuse(event, failures[why][1], failures[why][2])
	end

	-- What net.http.server pours the body into. close: it did not come to its end.
	local function new_sink(claims, file)
		local sink = { file = file, claims = claims, uploads = uploads }
		local size, quarter = claims.filesize, 1
		function sink.poured(_, bytes)
			if size > LARGE_BYTES and quarter < 4 and bytes >= size * quarter / 4 then
				quarter = bytes * 4 // size + 1
				module:log("info", "Upload %s: %s of %s", claims.slot, size_text(bytes), size_text(size))
			end
		end
		function sink.close()
			local written = file:written()
			file:close()
			module:log("info", "Upload %s ended early, after %d of %d bytes", claims.slot, written, size)
		end
		return sink
	end

	local function begin(event, path)
		local request = event.request
		local claims, status, why = permission(request, path)
		if not claims then
			if status == 401 then event.response.headers.www_authenticate = "Bearer" end
			return refuse(event, status, why)
		end
		status, why = check_head(request, claims)
		if status then return refuse(event, status, why) end
		local slot = claims.slot
		if not uploads.get(slot) then return refuse(event, 403, "The slot is gone") end
		local directory, name = uploads.path(slot, true)
		if not directory then return failed(event, slot, "failed", name) end
		local file, text
		file, why, text = incoming.open(directory, name, claims.filesize)
		if not file then return failed(event, slot, why, text) end
		module:log("info", "Upload %s of %s by %s begins, %s", slot, claims.filetype or "an unknown type",
			jid.bare(claims.sub), size_text(claims.filesize))
		request.body_sink = new_sink(claims, file)
		return true
	end

	local function complete(event, sink)
		local slot = sink.claims.slot
		local ok, why, text = sink.file:finish() -- others are served meanwhile
		if not ok then return failed(event, slot, why, text) end
		uploads.completed(slot)
		measure_upload(sink.claims.filesize)
		module:log("info", "Upload %s is complete, %s", slot, size_text(sink.claims.filesize))
		return 201
	end

	local M = {}

	--- PUT: asked when the head is here, and when the body is.
	function M.upload(event, path)
		local sink = event.request.body_sink
		if sink and sink.uploads == uploads then
			return complete(event, sink)
		elseif is_of_another(path) then
			return nil -- who is asked next has it
		end
		if event.request.body == false then return begin(event, path) end
		return refuse(event, event.request.content_length and 400 or 411, "There is no body")
	end

	-- Downloads

	-- SECURITY E2
	local function add_safety(headers, record)
		local filetype = record.type and parts.plain_type(record.type)
		if filetype and parts.is_safe(filetype) then
			headers.content_type = filetype .. (filetype:find "^text/" and "; charset=utf-8" or "")
		else
			headers.content_type = "application/octet-stream"
			headers.content_disposition = "attachment"
		end
		headers.x_content_type_options = "nosniff"
		headers.content_security_policy = "default-src 'none'; frame-ancestors 'none'; sandbox"
		headers.cross_origin_resource_policy = "cross-origin"
		headers.referrer_policy = "no-referrer"
	end

	--- GET and HEAD.
	function M.download(event, path)
		local slot, filename = split(path)
		local now = os.time()
		local record = slot and #slot <= SLOT_BYTES and uploads.get(slot)
		if not record and is_of_another(path) then return nil end
		if not record or record.filename ~= filename or record.expires <= now then return 404 end
		local file, facts = wire.open(uploads.path(slot))
		if not file then
			if facts ~= "not-found" then module:log("error", "The file of slot %s cannot be read: %s", slot, facts) end
			return 404
		end
		measure_download()
		local headers = event.response.headers
		add_safety(headers, record)
		headers.cache_control = ("max-age=%d, immutable"):format(math.min(CACHE_SECONDS, record.expires - now))
		return http_files.send(event, file, facts)
	end

	--- Nobody is answered here any more.
	function M.close() all[module.host] = nil end

	return M
end
