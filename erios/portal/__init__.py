"""The portal: pages, forms and letters over the actions and selectors of studies. Thin: it decides nothing."""
