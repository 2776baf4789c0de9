--- Handlers for ad-hoc commands (XEP-0050) that ask for one form and then answer.
-- A handler is called as handler(self, data, state): data is what the person sent, state what the handler returned
-- second the last time.
-- Always true: the result function is called only with a submitted form; cancelling never reaches it.
local type = type

local _ENV = nil

local actions = { "next", "complete", default = "complete" }

local function answer(layout, result_handler, data)
	if data.action == "cancel" then
		return { status = "canceled" }
	end
	if not data.form then
		return { status = "completed", error = { message = "The form is missing" } }
	end
	local fields, errors = layout:data(data.form)
	return result_handler(fields, errors, data)
end

--- result_handler(values, errors, data) gives the answer, { status = "completed", info = "..." } or with `error`.
local function new_simple_form(layout, result_handler)
	return function (_, data, state)
		if state then
			return answer(layout, result_handler, data)
		end
		return { status = "executing", actions = actions, form = layout }, "executing"
	end
end

--- The same, with initial_data(data) giving the values to begin with, or nil and a message that ends the command.
local function new_initial_data_form(layout, initial_data, result_handler)
	return function (_, data, state)
		if state then
			return answer(layout, result_handler, data)
		end
		local values, err = initial_data(data)
		if type(err) == "string" then
			err = { message = err }
		end
		if err then
			return { status = "completed", error = err }, nil
		end
		return { status = "executing", actions = actions, form = { layout = layout, values = values } }, "executing"
	end
end

return {
	new_simple_form = new_simple_form,
	new_initial_data_form = new_initial_data_form,
}
