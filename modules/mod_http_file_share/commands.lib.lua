--- Files in the admin's shell: which there are, and removing them.

local datetime = require "prosody.util.datetime"
local human_io = require "prosody.util.human.io"
local jid = require "prosody.util.jid"
local units = require "prosody.util.human.units"

local function size_text(bytes)
	return units.format(bytes, "B", "b")
end

local columns = {
	{ title = "Slot", width = 36, key = "slot" },
	{ title = "When", width = 20, key = "when", mapper = function (when) return datetime.datetime(when) end },
	{ title = "Size", width = 10, key = "size", mapper = function (bytes) return size_text(bytes) end },
	{ title = "Uploader", width = "1p", key = "uploader" },
	{ title = "File", width = "1p", key = "filename" },
}

return function (parts)
	local uploads = parts.uploads

	local function list(self, _, who)
		local iterator, err = uploads.each(who and jid.prep(who))
		if not iterator then return nil, err end
		local row = human_io.table(columns, self.session.width)
		self.session.print(row())
		local n, bytes = 0, 0
		for record in iterator do
			self.session.print(row(record))
			n, bytes = n + 1, bytes + record.size
		end
		return true, ("%d files, %s"):format(n, size_text(bytes))
	end

	local function purge(_, _, who)
		local bare = jid.prep(who)
		if not bare then return nil, ("%s is not an address"):format(who) end
		local n, bytes = uploads.purge(bare)
		if not n then return nil, bytes end
		return true, ("%d files of %s removed, %s"):format(n, bare, size_text(bytes))
	end

	-- The slot itself, or an address it is in.
	local function delete(_, _, what)
		local slot = what:match "/([%w_-]+)/[^/]*$" or what
		if not uploads.get(slot) then return nil, ("There is no file %s"):format(what) end
		local n, bytes = uploads.remove { slot }
		if n == 0 then return nil, "It could not be removed; the log says why" end
		return true, ("Removed, %s"):format(size_text(bytes))
	end

	local function expire()
		local n, bytes = uploads.prune(os.time())
		return true, ("%d files have expired, %s; %s are left"):format(n, size_text(bytes), size_text(uploads.total()))
	end

	local host = { name = "host", type = "string", required = true }
	local function add(name, desc, args, handler)
		table.insert(args, 1, host)
		module:add_item("shell-command", { section = "file_share", section_desc = "Files that users have shared",
			name = name, desc = desc, args = args, host_selector = "host", handler = handler })
	end
	add("list", "Lists the files, all or those of a user", { { name = "jid", type = "string" } }, list)
	add("purge", "Removes all files of a user", { { name = "jid", type = "string", required = true } }, purge)
	add("delete", "Removes one file, named by its slot or its URL",
		{ { name = "file", type = "string", required = true } }, delete)
	add("expire", "Removes what has expired now, not only once a day", {}, expire)
end
