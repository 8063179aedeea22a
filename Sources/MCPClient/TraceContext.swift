import Instrumentation
import ServiceContextModule

/// The trace that the calling task belongs to, as the application's instrument writes it (swift-distributed-tracing).
enum TraceContext {
    private struct Fields: Injector {
        func inject(_ value: String, forKey key: String, into carrier: inout [(String, String)]) {
            // W3C names are the only ones without a prefix in `_meta` (`META-19`).
            let name = key.lowercased()
            if name == "traceparent" || name == "tracestate" || name == "baggage" { carrier.append((name, value)) }
        }
    }

    /// `traceparent`, `tracestate`, `baggage`: what there is of them.
    static var current: [(String, String)] {
        guard let context = ServiceContext.current else { return [] }
        var fields: [(String, String)] = []
        InstrumentationSystem.instrument.inject(context, into: &fields, using: Fields())
        return fields
    }
}
