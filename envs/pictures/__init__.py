"""Pictures of objects: the bundled ones, and how any SVG file is read (envs.pictures.svg)."""
