"""The pages for the people of the company, in a browser: server-rendered, useful without JavaScript.

`site` is what all pages have in common: who is signed in, what a browser may do with a page, errors. The others are the
pages, one module a noun: a view is its decorators, a docstring and one statement that asks the verbs of `crm`.
`mail_html` makes what strangers have written harmless.
"""
