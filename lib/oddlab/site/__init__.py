"""The course as a site of static pages, whose sliders move without a kernel."""
