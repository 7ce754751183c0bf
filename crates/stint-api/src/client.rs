//! The one typed client.
