"""The operations of the API: routes, requests, pages, and a module for each resource."""
