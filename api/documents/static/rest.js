// Without the library the page keeps what it says about how to fetch it.
if (globalThis.SwaggerUIBundle) {
  SwaggerUIBundle({
    url: "/v1/openapi.yaml",
    dom_id: "#rest",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    tryItOutEnabled: true,
    // The validator is a service of another host.
    validatorUrl: null,
  });
}
