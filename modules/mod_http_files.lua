--- Files of a directory, on the web.
-- @option http_files_dir          path: the directory
-- @option http_dir_path           path: the same, an older name
-- @option http_index_files        list, {"index.html", "index.htm"}: what stands for a directory
-- @option http_files_index_files  list: the same, an older name
-- @option mime_types_file         path, /etc/mime.types: which extension is which type
-- @hooks  none        @fires none        @stores none
-- @spec   spec/e2e/web_http_spec.lua
--
-- Without a directory the module serves nothing; other modules use its serve().

module:depends("http")

local files = require "prosody.net.http.files"

local directory = module:get_option_path("http_files_dir", module:get_option_path("http_dir_path"))
local index_files = module:get_option_array("http_index_files",
	module:get_option_array("http_files_index_files", { "index.html", "index.htm" }))

local shared = module:shared("/*/http_files/mime")
shared.types = shared.types or files.read_types(module:get_option_path("mime_types_file", "/etc/mime.types"))

-- luacheck: globals serve wrap_route

--- A handler for files below a path; options as for net.http.files.serve.
function serve(options)
	if type(options) ~= "table" then options = { path = options } end
	options.mime_map = options.mime_map or shared.types
	options.index_files = options.index_files or index_files
	return files.serve(options)
end

--- Makes such handlers of what are no functions in a table of routes.
function wrap_route(routes)
	for route, handler in pairs(routes) do
		if type(handler) ~= "function" then routes[route] = serve(handler) end
	end
	return routes
end

if directory then
	module:provides("http", {
		route = { ["GET /*"] = serve { path = directory } },
	})
else
	module:log("debug", "There is no http_files_dir, so no files are served")
end
