// generate_types.py writes this after api/asyncapi.yaml.
export {};
