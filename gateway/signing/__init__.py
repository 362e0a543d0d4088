"""Keys and what is signed with them: certificates, watermark keys, links and reports."""
