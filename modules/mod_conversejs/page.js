// What stands around Converse: the name of this chat in the place of Converse's own heading, and one line about Converse
// in the place of its links and the logos of its sponsors, which a page of ours would fetch from another site.
// Converse leaves alone what has been defined before it.
const name = document.querySelector("meta[name=application-name]").content;

function element(tag, properties, ...children) {
	const made = Object.assign(document.createElement(tag), properties);
	made.append(...children);
	return made;
}

customElements.define("converse-controlbox-navbar", class extends HTMLElement {});

customElements.define("converse-brand-logo", class extends HTMLElement {
	connectedCallback() {
		this.replaceChildren(element("h1", { className: "page-name" }, name));
	}
});

customElements.define("converse-footer", class extends HTMLElement {
	connectedCallback() {
		const link = element("a", { href: "https://conversejs.org/", target: "_blank", rel: "noopener" }, "Converse.js");
		this.replaceChildren(element("p", { className: "page-credit" }, "With ", link, ", free software"));
	}
});
