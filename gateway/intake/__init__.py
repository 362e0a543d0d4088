"""What happens to a request before a dialect reads it: headers decide first, then a bounded body is read."""
