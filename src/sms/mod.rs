//! SMS: templates, delivery, gateway codecs.
