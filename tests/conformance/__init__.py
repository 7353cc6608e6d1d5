"""How far WebSockets are served as RFC 6455 and RFC 7692 say."""
