"""The verbs on the CRM's own tables, a file for each noun: what stands behind `models` in this example.

Read it beside schema.sql, the CRM's tables, and connector.sql, what they can't hold. Two habits run through it:
deletion is soft, so a query that shows something says `~Table.deleted`; and times have no offset and mean UTC.
"""
