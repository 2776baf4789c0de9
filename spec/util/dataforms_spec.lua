local dataforms = require "util.dataforms"
local st = require "util.stanza"

local xmlns = "jabber:x:data"

local function submission(fields)
	local form = st.stanza("x", { xmlns = xmlns, type = "submit" })
	for var, values in pairs(fields) do
		form:tag("field", { var = var })
		for _, value in ipairs(type(values) == "table" and values or { values }) do
			form:text_tag("value", value)
		end
		form:up()
	end
	return form
end

local function field_of(form, var)
	for field in form:childtags("field") do
		if field.attr.var == var then
			return field
		end
	end
end

local function values_of(field)
	local list = {}
	for value in field:childtags("value") do
		list[#list + 1] = value:get_text() or ""
	end
	return list
end

describe("util.dataforms", function ()
	local layout = dataforms.new {
		title = "Title", instructions = "Fill in",
		{ name = "FORM_TYPE", type = "hidden", value = "urn:x" },
		{ type = "fixed", value = "About you" },
		{ name = "text", type = "text-single", label = "Text", desc = "What", required = true },
		{ name = "secret", type = "text-private" },
		{ name = "lines", type = "text-multi" },
		{ name = "flag", type = "boolean", value = true },
		{ name = "jid", type = "jid-single" },
		{ name = "jids", type = "jid-multi" },
		{ name = "one", type = "list-single", options = { "a", { value = "b", label = "B", default = true } } },
		{
			name = "many", type = "list-multi",
			options = { { value = "x", default = true }, "y", { value = "z", default = true } },
		},
		{ name = "age", var = "urn:x#age", type = "text-single", datatype = "xs:integer", range_min = 0, range_max = 150 },
	}

	describe("a form to fill in", function ()
		local form = layout:form({ text = "hello", lines = "one\ntwo\n\nfour", jids = { "a@b", "c@d" }, age = 42 })

		it("says what it is for", function ()
			assert.equal("form", form.attr.type)
			assert.equal("Title", form:get_child_text "title")
			assert.equal("Fill in", form:get_child_text "instructions")
			assert.equal("urn:x", dataforms.get_type(form))
			assert.equal("hidden", field_of(form, "FORM_TYPE").attr.type)
		end)

		it("describes its fields", function ()
			local text = field_of(form, "text")
			assert.equal("Text", text.attr.label)
			assert.equal("What", text:get_child_text "desc")
			assert.is_truthy(text:get_child "required")
			assert.is_nil(field_of(form, "secret"):get_child "required")
		end)

		it("carries values and defaults", function ()
			assert.same({ "hello" }, values_of(field_of(form, "text")))
			assert.same({ "one", "two", "", "four" }, values_of(field_of(form, "lines")))
			assert.same({ "1" }, values_of(field_of(form, "flag")))
			assert.same({ "0" }, values_of(field_of(layout:form { flag = false }, "flag")))
			assert.same({ "a@b", "c@d" }, values_of(field_of(form, "jids")))
			assert.same({}, values_of(field_of(form, "secret")))
		end)

		it("offers options with the default chosen", function ()
			local one = field_of(form, "one")
			local labels = {}
			for option in one:childtags "option" do
				labels[#labels + 1] = option.attr.label .. "=" .. option:get_child_text "value"
			end
			assert.same({ "a=a", "B=b" }, labels)
			assert.same({ "b" }, values_of(one))
			assert.same({ "x", "z" }, values_of(field_of(form, "many")))
			assert.same({ "a" }, values_of(field_of(layout:form { one = "a" }, "one")))
			assert.same({ "y" }, values_of(field_of(layout:form { many = { "y" } }, "many")))
		end)

		it("says what values must be like (XEP-0122)", function ()
			local age = field_of(form, "urn:x#age")
			assert.same({ "42" }, values_of(age))
			local validate = age:get_child("validate", "http://jabber.org/protocol/xdata-validate")
			assert.equal("xs:integer", validate.attr.datatype)
			local range = validate:get_child "range"
			assert.same({ "0", "150" }, { range.attr.min, range.attr.max })
		end)

		it("takes options from the value, as old modules give them", function ()
			local old = dataforms.new { { name = "o", type = "list-single" } }
			local field = field_of(old:form { o = { "a", { value = "b", default = true } } }, "o")
			assert.same({ "b" }, values_of(field))
			local n = 0
			for _ in field:childtags "option" do
				n = n + 1
			end
			assert.equal(2, n)
		end)
	end)

	it("is short when it is a result or a submission", function ()
		local result = layout:form({ text = "hello" }, "result")
		assert.equal("result", result.attr.type)
		assert.is_nil(field_of(result, "text"):get_child "required")
		assert.is_nil(field_of(result, "secret"))
		assert.is_nil(field_of(result, "one"):get_child "option")
		local submit = layout:form({ text = "hello" }, "submit")
		assert.is_nil(submit:get_child "title")
		assert.is_nil(field_of(submit, "text").attr.label)
		local cancel = layout:form({ text = "hello" }, "cancel")
		assert.equal("cancel", cancel.attr.type)
		assert.equal(0, #cancel.tags)
	end)

	describe("an answer", function ()
		it("gives values of every type", function ()
			local values, errors, present = layout:data(submission {
				text = "hello", secret = "s", lines = { "one", "", "three" }, flag = "0", jid = "ROMEO@Example.com",
				jids = { "a@b", "c@d/e" }, one = "a", many = { "x", "y" }, ["urn:x#age"] = "42", FORM_TYPE = "urn:x",
			})
			assert.is_nil(errors)
			assert.same({
				FORM_TYPE = "urn:x", text = "hello", secret = "s", lines = "one\n\nthree", flag = false,
				jid = "romeo@example.com", jids = { "a@b", "c@d/e" }, one = "a", many = { "x", "y" }, age = 42,
			}, values)
			assert.is_true(present.age)
			assert.is_nil(present.unknown)
		end)

		it("names what is wrong", function ()
			local values, errors = layout:data(submission {
				text = "", flag = "maybe", jid = "@@", jids = { "ok@x", "@" }, ["urn:x#age"] = "old",
			})
			assert.equal("Required value missing", errors.text)
			assert.matches("boolean", errors.flag)
			assert.matches("Invalid JID", errors.jid)
			assert.matches("Invalid JID", errors.jids)
			assert.is_string(errors.age)
			assert.is_nil(values.age)
			assert.is_nil(values.jid)
			assert.is_nil(errors.secret)
		end)

		it("checks ranges", function ()
			local function age(text)
				local values, errors = layout:data(submission { text = "t", ["urn:x#age"] = text })
				return errors and errors.age or values.age
			end
			assert.equal(0, age "0")
			assert.equal(150, age "150")
			assert.is_string(age "-1")
			assert.is_string(age "151")
			assert.is_string(age "1.5")
			assert.is_string(age "0x10")
			assert.is_string(age "1e3")
		end)

		it("falls back to current values, and misses what is required", function ()
			local values, errors, present = layout:data(submission {}, { text = "old" })
			assert.is_nil(errors)
			assert.equal("old", values.text)
			assert.same({}, present)
			values, errors = layout:data(submission {})
			assert.same({}, values)
			assert.same({ text = "Required value missing" }, errors)
		end)

		it("reads further datatypes", function ()
			local typed = dataforms.new {
				{ name = "when", type = "text-single", datatype = "xs:dateTime" },
				{ name = "max", type = "text-single", datatype = "pubsub:integer-or-max", range_min = 1 },
				{ name = "rate", type = "text-single", datatype = "xs:decimal" },
				{ name = "byte", type = "text-single", datatype = "xs:unsignedByte" },
			}
			assert.same({ when = 0, max = "max", rate = 0.5, byte = 255 }, (typed:data(submission {
				when = "1970-01-01T00:00:00Z", max = "max", rate = "0.5", byte = "255",
			})))
			local _, errors = typed:data(submission { when = "yesterday", max = "0", rate = "0x1", byte = "256" })
			assert.is_truthy(errors.when and errors.max and errors.rate and errors.byte)
			assert.same({ "1970-01-01T00:00:00Z" }, values_of(field_of(typed:form { when = 0 }, "when")))
		end)

		it("is what a submission of our own says", function ()
			local values = {
				FORM_TYPE = "urn:x", text = "a\226\130\172", flag = false, lines = "1\n2", many = { "y" }, one = "a", age = 7,
			}
			assert.same(values, (layout:data(layout:form(values, "submit"))))
		end)
	end)

	it("tells a form from what is none", function ()
		assert.is_nil((dataforms.get_type(nil)))
		assert.is_nil((dataforms.get_type(st.stanza "x")))
		assert.equal("", dataforms.get_type(st.stanza("x", { xmlns = xmlns })))
	end)

	it("reads somebody else's layout", function ()
		local read = dataforms.from_stanza(layout:form { text = "t" })
		assert.equal("Title", read.title)
		local by_name = {}
		for _, field in ipairs(read) do
			by_name[field.name or ""] = field
		end
		assert.equal("text-single", by_name.text.type)
		assert.is_true(by_name.text.required)
		assert.equal("t", by_name.text.value)
		assert.same({ label = "B", value = "b" }, by_name.one.options[2])
		assert.equal("xs:integer", by_name["urn:x#age"].datatype)
	end)
end)
