using System;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Lowbit.Cli.Shell;

/// <summary>JSON has no infinity and no NaN: such a result is <c>null</c>.</summary>
internal sealed class FiniteNumberConverter : JsonConverter<double>
{
    public override double Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDouble();

    public override void Write(Utf8JsonWriter writer, double value, JsonSerializerOptions options)
    {
        if (double.IsFinite(value)) writer.WriteNumberValue(value);
        else writer.WriteNullValue();
    }
}
